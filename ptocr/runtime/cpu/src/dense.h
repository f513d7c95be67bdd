// Dense convolutions as matrix products (gemm) of pixels and panels of output channels.
//
// The usual outer-product scheme (Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008): a
// block of pixels times a panel of output channels stays in registers.
#pragma once

#include <algorithm>
#include <vector>

#include "layers.h"

namespace ptocr {

// acc += (values of one pixel at PACK input channels, in every lane) * (weights of W output channels)
template <int W, class T>
struct MulAdd {
    static constexpr int PACK = 1;
    typedef typename Lanes<W>::F F;
    typedef F A;
    typedef F B;
    static inline A spread(const T* a) { return *a - F{}; }
    static inline F fma(F acc, A a, B b) { return acc + a * b; }
};
#if defined(__AVX512BF16__)
inline Lanes<16>::F dot(Lanes<16>::F acc, Lanes<16>::I a, Lanes<16>::I b) {
    return (Lanes<16>::F)_mm512_dpbf16_ps((__m512)acc, (__m512bh)(__m512i)a, (__m512bh)(__m512i)b);
}
inline Lanes<8>::F dot(Lanes<8>::F acc, Lanes<8>::I a, Lanes<8>::I b) {
    return (Lanes<8>::F)_mm256_dpbf16_ps((__m256)acc, (__m256bh)(__m256i)a, (__m256bh)(__m256i)b);
}
template <int W>
struct MulAdd<W, bf16> {  // in pairs, a pair in each lane
    static constexpr int PACK = 2;
    typedef typename Lanes<W>::F F;
    typedef typename Lanes<W>::I A;
    typedef A B;
    static inline A spread(const bf16* a) { return load<int32_t>(a) - A{}; }
    static inline F fma(F acc, A a, B b) { return dot(acc, a, b); }
};
#endif

constexpr int most_pixels(int vectors) {  // accumulators, a panel's weights and one pixel fit in the registers
    int fits = (REGISTERS - vectors - 1) / vectors;
    return fits > 12 ? 12 : fits;
}

// Micro-kernel: a block of M pixels times N vectors of output channels. slabs: the first values of the first pixel, for
// each row of the kernel; step: from pixel to pixel; run: values per slab and pixel.
template <int W, int M, int N, class T>
inline void micro_kernel(const T* const* slabs, int64_t count, int64_t step, int64_t run, const T* weight,
                  typename Lanes<W>::F (&acc)[M][N]) {
    typedef MulAdd<W, T> P;
    typename P::F sum[M][N] = {};
    for (int64_t s = 0; s < count; s++) {
        const T* a = slabs[s];
        for (int64_t k = 0; k < run; k += P::PACK, weight += N * W * P::PACK) {
            typename P::B b[N];
#pragma GCC unroll 16
            for (int j = 0; j < N; j++) b[j] = load<typename P::B>(weight + j * W * P::PACK);
#pragma GCC unroll 16
            for (int i = 0; i < M; i++) {
                typename P::A value = P::spread(a + i * step + k);
#pragma GCC unroll 16
                for (int j = 0; j < N; j++) sum[i][j] = P::fma(sum[i][j], value, b[j]);
            }
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < M; i++)
#pragma GCC unroll 16
        for (int j = 0; j < N; j++) acc[i][j] = sum[i][j];
}

// Epilogue: bias, residual, activation and affine layer of `count` pixels' sums; left: channels from here on.
template <int W, int N, int ACT, class T>
void epilogue(const typename Lanes<W>::F (*acc)[N], int64_t count, int64_t left, const float* bias_at, float scale,
            float shift, RowView<T> to, RowView<const T> added) {
    typedef typename Lanes<W>::F F;
    F bias[N];
#pragma GCC unroll 16
    for (int j = 0; j < N; j++) bias[j] = load<F>(bias_at + j * W);
    if (left >= N * W) {
        for (int64_t i = 0; i < count; i++)
#pragma GCC unroll 16
            for (int j = 0; j < N; j++) {
                F v = acc[i][j] + bias[j];
                if (added.at) v += widen<W>(added.at + i * added.pixel + j * W);
                narrow<W>(to.at + i * to.pixel + j * W, activate<W, ACT>(v) * scale + shift, W);
            }
        return;
    }
    for (int64_t i = 0; i < count; i++)
        for (int j = 0; j * W < left; j++) {
            int some = (int)std::min<int64_t>(W, left - j * W);
            F v = acc[i][j] + bias[j];
            if (added.at) {
                T part[W] = {};
                std::memcpy(part, added.at + i * added.pixel + j * W, some * sizeof(T));
                v += widen<W>(part);
            }
            narrow<W>(to.at + i * to.pixel + j * W, activate<W, ACT>(v) * scale + shift, some);
        }
}

template <int W, int M, int N, class T>
void micro_tile(const T* const* slabs, int64_t count, int64_t step, int64_t run, const Layer& layer,
            const Params<T>& params, const T* panel, int64_t channel, RowView<T> to, RowView<const T> added) {
    typename Lanes<W>::F acc[M][N];
    micro_kernel<W, M, N, T>(slabs, count, step, run, panel, acc);
    to.at += channel;
    if (added.at) added.at += channel;
    with_activation(layer.act, [&](auto act) {
        epilogue<W, N, act.value, T>(acc, M, layer.out - channel, params.bias + channel, params.scale, params.shift, to,
                                   added);
    });
}

// How a layer's channels are cut into panels: as many vectors in each as ptocr/runtime/cpu/chains.py says too.
inline int panel_vectors(int64_t vectors) {
    if (vectors % 3 == 0 || vectors > 4) return 3;
    return (int)vectors;
}

// `count` neighbouring pixels of one row of output.
template <int W, int N, class T>
void gemm_panel(const T* const* slabs, int64_t rows, int64_t step, int64_t run, int64_t count, const Layer& layer,
               const Params<T>& params, const T* panel, int64_t channel, RowView<T> to, RowView<const T> added) {
    constexpr int M = most_pixels(N), HALF = M / 2 > 0 ? M / 2 : 1;
    const T* at[MOST_ROWS];
    auto go = [&](auto kernel, int64_t first) {
        for (int64_t r = 0; r < rows; r++) at[r] = slabs[r] + first * step;
        RowView<const T> more{added.at ? added.at + first * added.pixel : nullptr, added.pixel};
        RowView<T> moved{to.at + first * to.pixel, to.pixel};
        kernel(at, rows, step, run, layer, params, panel, channel, moved, more);
    };
    int64_t p = 0;
    if (count % (M - 1) == 0 && count % M != 0)
        for (; p < count; p += M - 1) go(micro_tile<W, M - 1, N, T>, p);
    for (; p + M <= count; p += M) go(micro_tile<W, M, N, T>, p);
    for (; p + HALF <= count; p += HALF) go(micro_tile<W, HALF, N, T>, p);
    if (p < count && count >= HALF) {
        go(micro_tile<W, HALF, N, T>, count - HALF);  // some pixels twice: the same values again
    } else {
        for (; p < count; p++) go(micro_tile<W, 1, N, T>, p);
    }
}

// Values per row of the kernel and pixel, as weights have them: one more of weight zero where they come in pairs.
inline int64_t padded_run(const Layer& layer, int64_t pack) {
    return (layer.in * layer.kw + pack - 1) / pack * pack;
}

// (kh, kw, in, out) in the order that panels want, as `dense_weight` of ptocr/runtime/cpu/chains.py.
template <class T>
std::vector<T> laid_out(const float* weight, const Layer& layer) {
    int64_t lanes = layer.lanes, pack = sizeof(T) == 2 ? 2 : 1, run = layer.in * layer.kw,
            padded = padded_run(layer, pack);
    int64_t vectors = (layer.out + lanes - 1) / lanes, full = panel_vectors(vectors);
    std::vector<T> panels(layer.kh * padded * vectors * lanes, T{});
    T* to = panels.data();
    for (int64_t v = 0; v < vectors; v += full) {
        int64_t wide = std::min(full, vectors - v) * lanes;
        for (int64_t u = 0; u < layer.kh; u++)
            for (int64_t k = 0; k < padded; k += pack, to += wide * pack)
                for (int64_t p = 0; p < pack && k + p < run; p++)
                    for (int64_t o = 0; o < std::min(wide, layer.out - v * lanes); o++)
                        to[o * pack + p] = rounded<T>(weight[(u * run + k + p) * layer.out + v * lanes + o]);
    }
    return panels;
}

template <int W, class T>
void gemm_panels(const T* const* slabs, int64_t rows, int64_t step, int64_t run, int64_t count, const Layer& layer,
                const Params<T>& params, RowView<T> to, RowView<const T> added) {
    int64_t vectors = (layer.out + W - 1) / W, depth = layer.kh * padded_run(layer, MulAdd<W, T>::PACK);
    const T* panel = params.weight;
    int full = panel_vectors(vectors);
    for (int64_t v = 0; v < vectors; v += full) {
        int n = (int)std::min<int64_t>(full, vectors - v);
        auto go = [&](auto run_n) { run_n(slabs, rows, step, run, count, layer, params, panel, v * W, to, added); };
        if (n == 1) go(gemm_panel<W, 1, T>);
        if (n == 2) go(gemm_panel<W, 2, T>);
        if (n == 3) go(gemm_panel<W, 3, T>);
        if (n == 4) go(gemm_panel<W, 4, T>);
        panel += n * W * depth;
    }
}

template <class T>
void gemm(const T* const* slabs, int64_t rows, int64_t step, int64_t run, int64_t count, const Layer& layer,
              const Params<T>& params, RowView<T> to, RowView<const T> added) {
    if (layer.lanes == WIDE) return gemm_panels<WIDE, T>(slabs, rows, step, run, count, layer, params, to, added);
    if constexpr (WIDE == 16)
        if (layer.lanes == NARROW) return gemm_panels<NARROW, T>(slabs, rows, step, run, count, layer, params, to, added);
    std::abort();
}

constexpr int64_t IM2COL_PIXELS = 24;  // pixels whose receptive fields are copied at a time

// im2col of `count` output pixels from `begin` on: their receptive fields one after the other, zeros outside the map.
template <class T>
void im2col(const Map<T>& x, const Layer& layer, int64_t top, int64_t begin, int64_t count, int64_t run, T* copy) {
    int64_t depth = layer.kh * run;
    std::memset((void*)copy, 0, count * depth * sizeof(T));
    for (int64_t i = 0; i < count; i++)
        for (int64_t u = std::max<int64_t>(0, -top); u < std::min(layer.kh, x.height - top); u++) {
            int64_t column = (begin + i) * layer.sw - layer.left;
            int64_t from = std::max<int64_t>(0, -column), until = std::min(layer.kw, x.width - column);
            if (from < until)
                std::memcpy((void*)(copy + i * depth + u * run + from * x.channels), x.pixel(top + u, column + from),
                            (until - from) * x.channels * sizeof(T));
        }
}

// Output pixels [first, last) of row `row`: those of the valid range straight from the map, the halo from a copy with
// zeros.
template <class T>
void dense_row(const Map<T>& x, const Layer& layer, const Params<T>& params, int64_t row, int64_t first, int64_t last,
               RowView<T> to, RowView<const T> added) {
    static thread_local Scratch<T> scratch;
    int pack = layer.lanes == WIDE ? MulAdd<WIDE, T>::PACK : MulAdd<NARROW, T>::PACK;
    int64_t run = padded_run(layer, pack), depth = layer.kh * run;
    ValidRange inner(x, layer, row, first, last, run > layer.kw * x.channels);
    if (inner.top < 0 || inner.top + layer.kh > x.height) inner.first = inner.last = last;
    auto run_at = [&](const T* const* slabs, int64_t rows, int64_t step, int64_t run, int64_t begin, int64_t count) {
        RowView<const T> more{added.at ? added.at + (begin - first) * added.pixel : nullptr, added.pixel};
        RowView<T> moved{to.at + (begin - first) * to.pixel, to.pixel};
        gemm<T>(slabs, rows, step, run, count, layer, params, moved, more);
    };
    auto halo = [&](int64_t begin, int64_t end) {
        for (int64_t c = begin; c < end; c += IM2COL_PIXELS) {
            int64_t count = std::min(IM2COL_PIXELS, end - c);
            T* copy = scratch.of(IM2COL_PIXELS * depth);
            im2col<T>(x, layer, inner.top, c, count, run, copy);
            const T* slab = copy;
            run_at(&slab, 1, depth, depth, c, count);
        }
    };
    halo(first, inner.first);
    if (inner.first < inner.last) {
        const T* slabs[MOST_ROWS];
        for (int64_t u = 0; u < layer.kh; u++) slabs[u] = x.pixel(inner.top + u, inner.first * layer.sw - layer.left);
        run_at(slabs, layer.kh, layer.sw * x.channels, run, inner.first, inner.last - inner.first);
    }
    halo(inner.last, last);
}

}  // namespace ptocr
