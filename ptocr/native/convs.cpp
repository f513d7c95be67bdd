// Chains of convolutions on a CPU, fused: a tile of the picture runs through all layers while it is in the cache.
//
// Maps are channels last. A chain begins with any convolution (dense, depthwise, transposed at stride 2) and goes on with
// pointwise ones, each with its bias, activation and affine layer; at the end a map may be added. Weights come laid out
// by ptocr/nn/native.py, so that nothing is prepared for a size of picture, kept, or laid out again.
//
// The product follows the usual outer-product scheme (Goto and van de Geijn, "Anatomy of high-performance matrix
// multiplication", 2008): a block of pixels times a panel of output channels stays in registers.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <type_traits>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int WIDE = 16, REGISTERS = 32;
#else
constexpr int WIDE = 8, REGISTERS = 16;
#endif

template <int W>
struct Lanes {
    typedef float F __attribute__((vector_size(W * 4)));
    typedef int32_t I __attribute__((vector_size(W * 4)));
    typedef uint16_t H __attribute__((vector_size(W * 2)));
};
struct bf16 {
    uint16_t bits;
};

template <class V>
inline V load(const void* from) {
    V v;
    __builtin_memcpy(&v, from, sizeof(V));
    return v;
}

template <int W>
inline typename Lanes<W>::F widen(const float* from) {
    return load<typename Lanes<W>::F>(from);
}
template <int W>
inline typename Lanes<W>::F widen(const bf16* from) {
    auto bits = __builtin_convertvector(load<typename Lanes<W>::H>(from), typename Lanes<W>::I);
    return (typename Lanes<W>::F)(bits << 16);
}

template <int W>
inline void narrow(float* to, typename Lanes<W>::F v, int count) {
    if (count >= W)
        __builtin_memcpy(to, &v, sizeof v);
    else
        std::memcpy(to, &v, count * sizeof(float));
}
template <int W>
inline void narrow(bf16* to, typename Lanes<W>::F v, int count) {
#if defined(__AVX512BF16__)
    uint16_t bits[W];
    if constexpr (W == 16) {
        auto rounded = _mm512_cvtneps_pbh((__m512)v);
        std::memcpy(bits, &rounded, sizeof bits);
    } else {
        auto rounded = _mm256_cvtneps_pbh((__m256)v);
        std::memcpy(bits, &rounded, sizeof bits);
    }
    if (count >= W)
        __builtin_memcpy(to, bits, sizeof bits);
    else
        std::memcpy(to, bits, count * sizeof(bf16));
#else
    std::abort();  // ptocr/nn/native.py leaves bfloat16 to oneDNN here
#endif
}

// acc += (values of one pixel at PACK input channels, in every lane) * (weights of W output channels)
template <int W, class T>
struct Product {
    static constexpr int PACK = 1;
    typedef typename Lanes<W>::F F;
    typedef F A;
    typedef F B;
    static inline A spread(const T* a) { return *a - F{}; }
    static inline F fma(F acc, A a, B b) { return acc + a * b; }
};
#if defined(__AVX512BF16__)
template <>
struct Product<16, bf16> {
    static constexpr int PACK = 2;
    typedef Lanes<16>::F F;
    typedef __m512i A;
    typedef __m512i B;
    static inline A spread(const bf16* a) { return _mm512_set1_epi32(load<int32_t>(a)); }
    static inline F fma(F acc, A a, B b) { return (F)_mm512_dpbf16_ps((__m512)acc, (__m512bh)a, (__m512bh)b); }
};
template <>
struct Product<8, bf16> {
    static constexpr int PACK = 2;
    typedef Lanes<8>::F F;
    typedef __m256i A;
    typedef __m256i B;
    static inline A spread(const bf16* a) { return _mm256_set1_epi32(load<int32_t>(a)); }
    static inline F fma(F acc, A a, B b) { return (F)_mm256_dpbf16_ps((__m256)acc, (__m256bh)a, (__m256bh)b); }
};
#endif

enum Act { NONE, RELU, HARDSWISH, HARDSIGMOID, SIGMOID, SWISH, GELU };

template <int W>
inline typename Lanes<W>::F clamp(typename Lanes<W>::F x, float low, float high) {
    typedef typename Lanes<W>::F F;
    x = x > low ? x : low - F{};
    return x < high ? x : high - F{};
}

// e^x by range reduction and a polynomial (Cephes' expf), relative error 2e-7
template <int W>
inline typename Lanes<W>::F exponential(typename Lanes<W>::F x) {
    typedef typename Lanes<W>::F F;
    typedef typename Lanes<W>::I I;
    x = clamp<W>(x, -87.0f, 88.0f);
    F n = x * 1.44269504088896341f;
    I whole = __builtin_convertvector(n + (n > 0.0f ? F{} + 0.5f : F{} - 0.5f), I);
    n = __builtin_convertvector(whole, F);
    x = x - n * 0.693359375f + n * 2.12194440e-4f;
    F p = x * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * x + 8.3334519073e-3f;
    p = p * x + 4.1665795894e-2f;
    p = p * x + 1.6666665459e-1f;
    p = p * x + 5.0000001201e-1f;
    p = p * x * x + x + 1.0f;
    return p * (F)((whole + 127) << 23);
}

// The normal distribution minus one half, divided by x: a Chebyshev fit in x^2 over |x| <= 5; x times it is within 5e-7.
constexpr float PHI[] = {
    0.141363785f, -0.0702963471f, 0.0515210219f, -0.0404411331f, 0.03143562f, -0.0232779644f, 0.0164331123f,
    -0.011140733f, 0.00634524133f, -0.00271144253f, 0.00178566168f, -0.001603059f, 0.00058620132f,
};
constexpr float PHI_LIMIT = 5.0f;

template <int W>
inline typename Lanes<W>::F gelu(typename Lanes<W>::F x) {
    typedef typename Lanes<W>::F F;
    F near = clamp<W>(x, -PHI_LIMIT, PHI_LIMIT);
    F t = near * near * (2.0f / (PHI_LIMIT * PHI_LIMIT)) - 1.0f;
    constexpr int DEGREE = sizeof(PHI) / sizeof(float) - 1;
    F p = F{} + PHI[DEGREE];
#pragma GCC unroll 16
    for (int i = DEGREE - 1; i >= 0; i--) p = p * t + PHI[i];
    return x * (p * near + 0.5f);
}

template <int W, int ACT>
inline typename Lanes<W>::F activate(typename Lanes<W>::F x) {
    switch (ACT) {
        case RELU: return clamp<W>(x, 0.0f, __builtin_inff());
        case HARDSWISH: return x * clamp<W>(x * (1.0f / 6) + 0.5f, 0.0f, 1.0f);
        case HARDSIGMOID: return clamp<W>(x * (1.0f / 6) + 0.5f, 0.0f, 1.0f);
        case SIGMOID: return 1.0f / (1.0f + exponential<W>(-x));
        case SWISH: return x / (1.0f + exponential<W>(-x));
        case GELU: return gelu<W>(x);
        default: return x;
    }
}

// go(the activation as a type) for a number known only now
template <class Go>
inline void with_activation(int64_t act, Go go) {
    switch (act) {
        case RELU: return go(std::integral_constant<int, RELU>());
        case HARDSWISH: return go(std::integral_constant<int, HARDSWISH>());
        case HARDSIGMOID: return go(std::integral_constant<int, HARDSIGMOID>());
        case SIGMOID: return go(std::integral_constant<int, SIGMOID>());
        case SWISH: return go(std::integral_constant<int, SWISH>());
        case GELU: return go(std::integral_constant<int, GELU>());
        default: return go(std::integral_constant<int, NONE>());
    }
}

// A thread's working memory, kept from call to call.
template <class T>
class Scratch {
    std::unique_ptr<T[]> values;
    int64_t size = 0;

public:
    T* of(int64_t wanted) {
        if (wanted > size) values.reset(new T[wanted]), size = wanted;
        return values.get();
    }
};

enum Kind { DENSE, DEPTHWISE, TRANSPOSED };

// One layer, as ptocr/nn/native.py writes it. weight, bias: places in the buffer of parameters, in bytes. The bias is padded
// with zeros to whole vectors and followed by the affine layer's scale and shift.
struct Layer {
    int64_t kind, in, out, kh, kw, sh, sw, top, left, bottom, right, act, lanes, weight, bias;
};
constexpr int64_t FIELDS = sizeof(Layer) / sizeof(int64_t);

// Where results go: a map with steps (in values) between pixels and rows.
template <class T>
struct Place {
    T* at;
    int64_t pixel;
};

template <class T>
struct Params {
    const T* weight;
    const float* bias;
    float scale, shift;
    Params(const Layer& layer, const char* buffer)
        : weight((const T*)(buffer + layer.weight)), bias((const float*)(buffer + layer.bias)) {
        int64_t padded = (layer.out + layer.lanes - 1) / layer.lanes * layer.lanes;
        scale = bias[padded], shift = bias[padded + 1];
    }
};

constexpr int most_pixels(int vectors) {  // accumulators, a panel's weights and one pixel fit in the registers
    int fits = (REGISTERS - vectors - 1) / vectors;
    return fits > 12 ? 12 : fits;
}

// A block of M pixels times N vectors of output channels. slabs: begin of the values of the first pixel, one per row of the kernel;
// step: from pixel to pixel; run: values per slab and pixel.
template <int W, int M, int N, class T>
inline void block(const T* const* slabs, int64_t count, int64_t step, int64_t run, const T* weight,
                  typename Lanes<W>::F (&acc)[M][N]) {
    typedef Product<W, T> P;
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

template <int W, int M, int N, int ACT, class T>
inline void finish(const typename Lanes<W>::F (&acc)[M][N], int64_t left, const float* bias_at, float scale, float shift,
                   Place<T> to, Place<const T> added) {
    typedef typename Lanes<W>::F F;
    F bias[N];
#pragma GCC unroll 16
    for (int j = 0; j < N; j++) bias[j] = load<F>(bias_at + j * W);
    if (left >= N * W) {
        for (int i = 0; i < M; i++)
#pragma GCC unroll 16
            for (int j = 0; j < N; j++) {
                F v = acc[i][j] + bias[j];
                if (added.at) v += widen<W>(added.at + i * added.pixel + j * W);
                narrow<W>(to.at + i * to.pixel + j * W, activate<W, ACT>(v) * scale + shift, W);
            }
        return;
    }
    for (int i = 0; i < M; i++)
        for (int j = 0; j * W < left; j++) {
            int count = (int)std::min<int64_t>(W, left - j * W);
            F v = acc[i][j] + bias[j];
            if (added.at) {
                T part[W] = {};
                std::memcpy(part, added.at + i * added.pixel + j * W, count * sizeof(T));
                v += widen<W>(part);
            }
            narrow<W>(to.at + i * to.pixel + j * W, activate<W, ACT>(v) * scale + shift, count);
        }
}

template <int W, int M, int N, class T>
void pixels(const T* const* slabs, int64_t count, int64_t step, int64_t run, const Layer& layer, const Params<T>& params,
            const T* panel, int64_t channel, Place<T> to, Place<const T> added) {
    typename Lanes<W>::F acc[M][N];
    block<W, M, N, T>(slabs, count, step, run, panel, acc);
    to.at += channel;
    if (added.at) added.at += channel;
    with_activation(layer.act, [&](auto act) {
        finish<W, M, N, act.value, T>(acc, layer.out - channel, params.bias + channel, params.scale, params.shift, to, added);
    });
}

// How a layer's channels are cut into panels: as many vectors in each as ptocr/nn/native.py says too.
inline int panel_vectors(int64_t vectors) {
    if (vectors % 3 == 0 || vectors > 4) return 3;
    return (int)vectors;
}

constexpr int64_t MOST_ROWS = 16;  // of a kernel

// `count` neighbouring pixels of one row of output.
template <int W, int N, class T>
void run_panel(const T* const* slabs, int64_t rows, int64_t step, int64_t run, int64_t count, const Layer& layer,
               const Params<T>& params, const T* panel, int64_t channel, Place<T> to, Place<const T> added) {
    constexpr int M = most_pixels(N), HALF = M / 2 > 0 ? M / 2 : 1;
    const T* at[MOST_ROWS];
    auto go = [&](auto kernel, int64_t first) {
        for (int64_t r = 0; r < rows; r++) at[r] = slabs[r] + first * step;
        Place<const T> more{added.at ? added.at + first * added.pixel : nullptr, added.pixel};
        kernel(at, rows, step, run, layer, params, panel, channel, Place<T>{to.at + first * to.pixel, to.pixel}, more);
    };
    int64_t p = 0;
    for (; p + M <= count; p += M) go(pixels<W, M, N, T>, p);
    for (; p + HALF <= count; p += HALF) go(pixels<W, HALF, N, T>, p);
    if (p < count && count >= HALF) {
        go(pixels<W, HALF, N, T>, count - HALF);  // some pixels twice: the same values again
    } else {
        for (; p < count; p++) go(pixels<W, 1, N, T>, p);
    }
}

// Values per row of the kernel and pixel, as weights have them: one more of weight zero where they come in pairs.
inline int64_t padded_run(const Layer& layer, int64_t pack) { return (layer.in * layer.kw + pack - 1) / pack * pack; }

template <int W, class T>
void run_panels(const T* const* slabs, int64_t rows, int64_t step, int64_t run, int64_t count, const Layer& layer,
                const Params<T>& params, Place<T> to, Place<const T> added) {
    int64_t vectors = (layer.out + W - 1) / W, depth = layer.kh * padded_run(layer, Product<W, T>::PACK);
    const T* panel = params.weight;
    int full = panel_vectors(vectors);
    for (int64_t v = 0; v < vectors; v += full) {
        int n = (int)std::min<int64_t>(full, vectors - v);
        auto go = [&](auto run_n) { run_n(slabs, rows, step, run, count, layer, params, panel, v * W, to, added); };
        if (n == 1) go(run_panel<W, 1, T>);
        if (n == 2) go(run_panel<W, 2, T>);
        if (n == 3) go(run_panel<W, 3, T>);
        if (n == 4) go(run_panel<W, 4, T>);
        panel += n * W * depth;
    }
}

template <class T>
void products(const T* const* slabs, int64_t rows, int64_t step, int64_t run, int64_t count, const Layer& layer,
              const Params<T>& params, Place<T> to, Place<const T> added) {
    if (layer.lanes == WIDE) return run_panels<WIDE, T>(slabs, rows, step, run, count, layer, params, to, added);
    if constexpr (WIDE == 16)
        if (layer.lanes == 8) return run_panels<8, T>(slabs, rows, step, run, count, layer, params, to, added);
    std::abort();
}

// One picture's map.
template <class T>
struct Map {
    const T* at;
    int64_t height, width, channels;
    const T* pixel(int64_t row, int64_t column) const { return at + (row * width + column) * channels; }
};

constexpr int64_t GATHERED = 24;  // pixels whose surroundings are copied at a time

// Output pixels [first, last) of row `row`: the inner ones straight from the map, those at its edges from a copy with zeros.
template <class T>
void dense_row(const Map<T>& x, const Layer& layer, const Params<T>& params, int64_t row, int64_t first, int64_t last,
               Place<T> to, Place<const T> added) {
    static thread_local Scratch<T> scratch;
    int pack = layer.lanes == WIDE ? Product<WIDE, T>::PACK : Product<8, T>::PACK;
    int64_t top = row * layer.sh - layer.top, step = layer.sw * x.channels, run = padded_run(layer, pack);
    int64_t inner_first = last, inner_last = last;
    if (top >= 0 && top + layer.kh <= x.height) {
        int64_t room = x.width + layer.left - layer.kw - (run > layer.kw * x.channels);  // a run never ends outside
        inner_first = std::min(last, std::max(first, (layer.left + layer.sw - 1) / layer.sw));
        inner_last = room < 0 ? inner_first : std::max(inner_first, std::min(last, room / layer.sw + 1));
    }
    auto moved = [&](int64_t column) { return Place<T>{to.at + (column - first) * to.pixel, to.pixel}; };
    auto moved_added = [&](int64_t column) {
        return Place<const T>{added.at ? added.at + (column - first) * added.pixel : nullptr, added.pixel};
    };
    auto edge = [&](int64_t begin, int64_t end) {
        int64_t depth = layer.kh * run;
        for (int64_t c = begin; c < end; c += GATHERED) {
            int64_t count = std::min(GATHERED, end - c);
            T* copy = scratch.of(GATHERED * depth);
            std::memset((void*)copy, 0, count * depth * sizeof(T));
            for (int64_t i = 0; i < count; i++)
                for (int64_t u = std::max<int64_t>(0, -top); u < std::min(layer.kh, x.height - top); u++) {
                    int64_t column = (c + i) * layer.sw - layer.left;
                    int64_t from = std::max<int64_t>(0, -column), until = std::min(layer.kw, x.width - column);
                    if (from < until)
                        std::memcpy((void*)(copy + i * depth + u * run + from * x.channels),
                                    x.pixel(top + u, column + from), (until - from) * x.channels * sizeof(T));
                }
            const T* slab = copy;
            products<T>(&slab, 1, depth, depth, count, layer, params, moved(c), moved_added(c));
        }
    };
    edge(first, inner_first);
    if (inner_first < inner_last) {
        const T* slabs[MOST_ROWS];
        for (int64_t u = 0; u < layer.kh; u++)
            slabs[u] = x.pixel(top + u, inner_first * layer.sw - layer.left);
        products<T>(slabs, layer.kh, step, run, inner_last - inner_first, layer, params, moved(inner_first),
                    moved_added(inner_first));
    }
    edge(inner_last, last);
}

// One vector of channels of OUT neighbouring output pixels; every column of the kernel is inside the map.
template <int W, int K, int S, int OUT, class T>
inline void depthwise_block(const T* const* rows, int64_t first_row, int64_t last_row, int64_t pixel, const float* weight,
                            int64_t padded, typename Lanes<W>::F (&acc)[OUT]) {
    typedef typename Lanes<W>::F F;
    for (int64_t u = first_row; u < last_row; u++) {
        F x[(OUT - 1) * S + K];
#pragma GCC unroll 32
        for (int i = 0; i < (OUT - 1) * S + K; i++) x[i] = widen<W>(rows[u] + i * pixel);
#pragma GCC unroll 16
        for (int k = 0; k < K; k++) {
            F w = load<F>(weight + (u * K + k) * padded);
#pragma GCC unroll 16
            for (int i = 0; i < OUT; i++) acc[i] += x[i * S + k] * w;
        }
    }
}

constexpr int64_t STRIP = 32;  // pixels whose surroundings stay in the first-level cache for one vector of channels

template <int W, int K, int S, int ACT, class T>
void depthwise_inner(const Map<T>& x, const Layer& layer, const Params<float>& params, int64_t top, int64_t first,
                     int64_t last, Place<T> to) {
    typedef typename Lanes<W>::F F;
    constexpr int OUT = S == 1 ? 8 : 4;
    int64_t padded = (layer.out + W - 1) / W * W;
    int64_t first_row = std::max<int64_t>(0, -top), last_row = std::min<int64_t>(layer.kh, x.height - top);
    const T* rows[MOST_ROWS];
    for (int64_t strip = first; strip < last; strip += STRIP)
        for (int64_t c = 0; c < layer.out; c += W) {
            int64_t strip_end = std::min(last, strip + STRIP);
            F bias = load<F>(params.bias + c);
            const float* weight = params.weight + c;
            auto store = [&](F v, int64_t p) {
                v = activate<W, ACT>(v + bias) * params.scale + params.shift;
                narrow<W>(to.at + (p - first) * to.pixel + c, v, W);
            };
            auto look = [&](int64_t p) {
                for (int64_t u = first_row; u < last_row; u++) rows[u] = x.pixel(top + u, p * S - layer.left) + c;
            };
            int64_t p = strip;
            auto many = [&](int64_t p) {
                F acc[OUT] = {};
                look(p);
                depthwise_block<W, K, S, OUT>(rows, first_row, last_row, x.channels, weight, padded, acc);
#pragma GCC unroll 8
                for (int i = 0; i < OUT; i++) store(acc[i], p + i);
            };
            for (; p + OUT <= strip_end; p += OUT) many(p);
            if (p < strip_end && strip_end - first >= OUT) {
                many(strip_end - OUT);  // some pixels twice: the same values again
                p = strip_end;
            }
            for (; p < strip_end; p++) {
                F acc[1] = {};
                look(p);
                depthwise_block<W, K, S, 1>(rows, first_row, last_row, x.channels, weight, padded, acc);
                store(acc[0], p);
            }
        }
}

// Any kernel and place, pixel by pixel.
template <int W, int ACT, class T>
void depthwise_edge(const Map<T>& x, const Layer& layer, const Params<float>& params, int64_t top, int64_t first,
                    int64_t begin, int64_t end, Place<T> to) {
    typedef typename Lanes<W>::F F;
    int64_t padded = (layer.out + W - 1) / W * W;
    for (int64_t p = begin; p < end; p++)
        for (int64_t c = 0; c < layer.out; c += W) {
            F acc = {};
            int64_t column = p * layer.sw - layer.left;
            for (int64_t u = std::max<int64_t>(0, -top); u < std::min<int64_t>(layer.kh, x.height - top); u++)
                for (int64_t k = std::max<int64_t>(0, -column); k < std::min<int64_t>(layer.kw, x.width - column); k++)
                    acc += widen<W>(x.pixel(top + u, column + k) + c) *
                           load<F>(params.weight + (u * layer.kw + k) * padded + c);
            acc = activate<W, ACT>(acc + load<F>(params.bias + c)) * params.scale + params.shift;
            narrow<W>(to.at + (p - first) * to.pixel + c, acc, W);
        }
}

template <int W, int ACT, class T>
void depthwise_row(const Map<T>& x, const Layer& layer, const Params<float>& params, int64_t row, int64_t first,
                   int64_t last, Place<T> to) {
    int64_t top = row * layer.sh - layer.top;
    int64_t room = x.width + layer.left - layer.kw;
    int64_t inner_first = std::min(last, std::max(first, (layer.left + layer.sw - 1) / layer.sw));
    int64_t inner_last = room < 0 ? inner_first : std::max(inner_first, std::min(last, room / layer.sw + 1));
    auto inner = [&](auto run) {
        run(x, layer, params, top, inner_first, inner_last,
            Place<T>{to.at + (inner_first - first) * to.pixel, to.pixel});
    };
    int64_t shape = layer.kw * 10 + layer.sw;
    if (shape == 31) inner(depthwise_inner<W, 3, 1, ACT, T>);
    else if (shape == 32) inner(depthwise_inner<W, 3, 2, ACT, T>);
    else if (shape == 51) inner(depthwise_inner<W, 5, 1, ACT, T>);
    else if (shape == 52) inner(depthwise_inner<W, 5, 2, ACT, T>);
    else if (shape == 71) inner(depthwise_inner<W, 7, 1, ACT, T>);
    else inner_first = inner_last = last;
    depthwise_edge<W, ACT, T>(x, layer, params, top, first, first, inner_first, to);
    depthwise_edge<W, ACT, T>(x, layer, params, top, first, inner_last, last, to);
}

// Bits of a plan's first number: a map of the first layer's shape is added to it before its activation; what entered the
// pointwise layers is added to the last one; the input's channels are scaled.
enum Extra { OTHER = 1, ENTERING = 2, GATED = 4 };

constexpr int64_t TILE_VALUES = 40 * 1024;  // of the widest maps of a tile together: about the second-level cache's share

// A map whose rows and pixels may lie apart, as every second one of a transposed convolution's output.
template <class T>
struct Target {
    T* at;
    int64_t height, width, row, pixel;
};

// Runs all layers over a batch.
template <class T>
void run_chain(const T* x, int64_t batch, int64_t height, int64_t width, const Layer* layers, int64_t count, int64_t extra,
               const T* other, const T* gates, const char* params, Target<T> out) {
    const Layer& head = layers[0];
    bool pointwise = head.kind == DENSE && head.kh * head.kw * head.sh * head.sw == 1;
    bool dense_rows = out.row == out.width * out.pixel;
    if (pointwise && dense_rows && !gates) {  // all pixels in one row
        width = out.width = batch * height * width, height = out.height = batch = 1;
        out.row = out.width * out.pixel;
    }
    int64_t widest = 0;
    for (int64_t l = 0; l < count; l++) widest = std::max(widest, layers[l].in + layers[l].out);
    int64_t across = std::min(out.width, std::max<int64_t>(48, TILE_VALUES / widest / 24 * 24));
    int64_t tiles = (out.width + across - 1) / across;
    int64_t down = tiles > 1 || !dense_rows ? 1 : std::max<int64_t>(1, std::min(out.height, TILE_VALUES / widest / across));
    int64_t bands = (out.height + down - 1) / down;

    auto run_tile = [&](int64_t n, int64_t top, int64_t bottom, int64_t left, int64_t right) {
        static thread_local Scratch<T> entered, passed[2];
        int64_t across_here = right - left, pixels_here = (bottom - top) * across_here;
        Place<T> result{out.at + (n * out.height + top) * out.row + left * out.pixel, out.pixel};
        Map<T> map{x + n * height * width * head.in, height, width, head.in};
        Place<const T> sum{nullptr, head.out};
        if (extra & OTHER) sum.at = other + ((n * out.height + top) * out.width + left) * head.out;
        const T* now = map.pixel(top, left);
        int64_t next = 0;
        if (!pointwise) {
            next = 1;
            T* begun = count == 1 ? nullptr : entered.of(pixels_here * head.out);
            for (int64_t r = top; r < bottom; r++) {
                int64_t done = (r - top) * across_here;
                Place<T> to{begun + done * head.out, head.out};
                if (count == 1) to = Place<T>{result.at + (r - top) * out.row, out.pixel};
                Place<const T> more{sum.at ? sum.at + done * head.out : nullptr, head.out};
                if (head.kind == DEPTHWISE)
                    with_activation(head.act, [&](auto act) {
                        Params<float> own(head, params);
                        if (head.lanes == WIDE) depthwise_row<WIDE, act.value, T>(map, head, own, r, left, right, to);
                        else depthwise_row<8, act.value, T>(map, head, own, r, left, right, to);
                    });
                else
                    dense_row<T>(map, head, Params<T>(head, params), r, left, right, to, more);
            }
            now = begun;
        } else if (gates) {
            T* scaled = entered.of(pixels_here * head.in);
            for (int64_t p = 0; p < pixels_here; p++)
                for (int64_t c = 0; c < head.in; c += 8) {
                    int64_t at = p * head.in + c;
                    narrow<8>(scaled + at, widen<8>(now + at) * widen<8>(gates + n * head.in + c), 8);
                }
            now = scaled;
        }
        const T* entering = now;
        for (int64_t l = next; l < count; l++) {
            const Layer& layer = layers[l];
            bool last = l + 1 == count;
            Place<T> to = last ? result : Place<T>{passed[l % 2].of(pixels_here * layer.out), layer.out};
            Place<const T> added{l == 0 ? sum.at : nullptr, layer.out};
            if (last && extra & ENTERING) added.at = entering;
            products<T>(&now, 1, layer.in, layer.in, pixels_here, layer, Params<T>(layer, params), to, added);
            now = to.at;
        }
    };

#pragma omp parallel for schedule(dynamic) collapse(3) if (batch * bands * tiles > 1)
    for (int64_t n = 0; n < batch; n++)
        for (int64_t band = 0; band < bands; band++)
            for (int64_t tile = 0; tile < tiles; tile++)
                run_tile(n, band * down, std::min(out.height, (band + 1) * down), tile * across,
                         std::min(out.width, (tile + 1) * across));
}

template <class T>
void run(const T* x, const int64_t* shape, const T* other, const T* gates, const char* params, const int64_t* plan, T* out) {
    int64_t extra = plan[0], count = plan[1];
    const Layer* layers = (const Layer*)(plan + 2);
    const Layer& head = layers[0];
    int64_t batch = shape[0], height = shape[2], width = shape[3], channels = layers[count - 1].out;
    if (head.kind != TRANSPOSED) {
        int64_t out_height = (height + head.top + head.bottom - head.kh) / head.sh + 1;
        int64_t out_width = (width + head.left + head.right - head.kw) / head.sw + 1;
        Target<T> to{out, out_height, out_width, out_width * channels, channels};
        return run_chain<T>(x, batch, height, width, layers, count, extra, other, gates, params, to);
    }
    // Four layers, one for every second row and column of the output, each a convolution of its own.
    for (int64_t n = 0; n < batch; n++)
        for (int phase = 0; phase < 4; phase++) {
            Layer layer = layers[phase];
            layer.kind = DENSE;
            T* begin = out + n * 4 * height * width * channels + (phase / 2 * 2 * width + phase % 2) * channels;
            Target<T> to{begin, height, width, 4 * width * channels, 2 * channels};
            run_chain<T>(x + n * height * width * layer.in, 1, height, width, &layer, 1, 0, nullptr, nullptr, params, to);
        }
}

}  // namespace

extern "C" {

// x, other, out: maps (N, H, W, C) in memory; shape: N, C, H, W of x; gates: (N, C) or null; half: bfloat16.
void ptocr_convs(const void* x, const int64_t* shape, const void* other, const void* gates, const void* params,
                 const int64_t* plan, int half, void* out) {
    if (half)
        run<bf16>((const bf16*)x, shape, (const bf16*)other, (const bf16*)gates, (const char*)params, plan, (bf16*)out);
    else
        run<float>((const float*)x, shape, (const float*)other, (const float*)gates, (const char*)params, plan, (float*)out);
}

#if defined(PTOCR_TORCH)
// torch's C interface (torch/csrc/inductor/aoti_torch/c/shim.h), as far as it is needed here
typedef struct AtenTensorOpaque* Tensor;
int32_t aoti_torch_get_data_ptr(Tensor, void**);
int32_t aoti_torch_get_sizes(Tensor, int64_t**);
int32_t aoti_torch_get_strides(Tensor, int64_t**);
int32_t aoti_torch_get_dtype(Tensor, int32_t*);
int32_t aoti_torch_dtype_bfloat16();
int32_t aoti_torch_device_type_cpu();
int32_t aoti_torch_empty_strided(int64_t, const int64_t*, const int64_t*, int32_t, int32_t, int32_t, Tensor*);

// torch.ops.ptocr.convs as compiled packages call it; not 0: maps that are not channels last.
int32_t aoti_torch_cpu_convs(Tensor x, const Tensor* extra, int64_t extras, Tensor params, const int64_t* plan, int64_t,
                             Tensor* result) {
    int64_t *shape, *strides;
    int32_t dtype;
    aoti_torch_get_sizes(x, &shape), aoti_torch_get_dtype(x, &dtype);
    auto values = [&](Tensor map) -> void* {  // null if not channels last
        int64_t *sizes, expected = 1;
        void* at;
        aoti_torch_get_sizes(map, &sizes), aoti_torch_get_strides(map, &strides), aoti_torch_get_data_ptr(map, &at);
        for (int axis : {1, 3, 2, 0}) {
            if (sizes[axis] > 1 && strides[axis] != expected) return nullptr;
            expected *= sizes[axis];
        }
        return at;
    };
    void *in = values(x), *weights, *out;
    void* other = plan[0] & OTHER ? values(extra[0]) : nullptr;
    void* gates = plan[0] & GATED ? values(extra[extras - 1]) : nullptr;
    if (!in || (plan[0] & OTHER && !other) || (plan[0] & GATED && !gates)) return 1;
    const Layer& head = *(const Layer*)(plan + 2);
    int64_t channels = ((const Layer*)(plan + 2))[plan[1] - 1].out;
    int64_t height = (shape[2] + head.top + head.bottom - head.kh) / head.sh + 1;
    int64_t width = (shape[3] + head.left + head.right - head.kw) / head.sw + 1;
    if (head.kind == TRANSPOSED) height = 2 * shape[2], width = 2 * shape[3];
    int64_t sizes[] = {shape[0], channels, height, width};
    int64_t steps[] = {channels * height * width, 1, channels * width, channels};
    aoti_torch_get_data_ptr(params, &weights);
    if (aoti_torch_empty_strided(4, sizes, steps, dtype, aoti_torch_device_type_cpu(), 0, result)) return 1;
    aoti_torch_get_data_ptr(*result, &out);
    ptocr_convs(in, shape, other, gates, weights, plan, dtype == aoti_torch_dtype_bfloat16(), out);
    return 0;
}
#endif
}
