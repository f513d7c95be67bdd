// Parallel loops: on ptocr's own threads; inside torch's packages, whose other loops are OpenMP's, on OpenMP's.
#pragma once

#if defined(PTOCR_TORCH)
#include <omp.h>

#include <cstdint>
#else
#include "pool.h"
#endif

namespace ptocr {

#if defined(PTOCR_TORCH)
constexpr int BANDS = 1;
inline int threads() { return omp_get_max_threads(); }
template <class Body>
void each(int64_t count, Body body) {
#pragma omp parallel for schedule(dynamic) if (count > 1)
    for (int64_t i = 0; i < count; i++) body(i);
}
#else
constexpr int BANDS = 2;  // per thread: one that is kept waiting holds up less
inline int threads() { return Pool::width(); }
template <class Body>
void each(int64_t count, Body body) {
    Pool::each(count, body);
}
#endif

}  // namespace ptocr
