// Vectors of a processor's width, in GCC's portable notation, and the activations on them.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <type_traits>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

namespace ptocr {

#if defined(__AVX512F__)
constexpr int WIDE = 16, REGISTERS = 32;
#elif defined(__aarch64__)
constexpr int WIDE = 4, REGISTERS = 32;
#else
constexpr int WIDE = 8, REGISTERS = 16;
#endif
constexpr int NARROW = WIDE < 8 ? WIDE : 8;  // for channels that are multiples of 8 and of nothing wider

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
    std::abort();  // ptocr/runtime/cpu/chains.py leaves bfloat16 to oneDNN here
#endif
}

template <class T>
inline T rounded(float value) {
    if constexpr (sizeof(T) == 4) {
        return value;
    } else {  // to nearest, ties to even
        uint32_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        return T{(uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
    }
}
template <class T>
inline float value_of(T number) {
    if constexpr (sizeof(T) == 4) {
        return number;
    } else {
        uint32_t bits = (uint32_t)number.bits << 16;
        float value;
        std::memcpy(&value, &bits, sizeof value);
        return value;
    }
}

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

// The normal distribution minus one half, divided by x: a Chebyshev fit in x^2 over |x| <= 5; x times it is within
// 5e-7.
constexpr float PHI[] = {
    0.141363785f,  -0.0702963471f, 0.0515210219f,   -0.0404411331f, 0.03143562f,   -0.0232779644f, 0.0164331123f,
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

}  // namespace ptocr
