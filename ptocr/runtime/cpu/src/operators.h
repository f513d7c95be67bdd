// Operators of a network beside its convolutions: elementwise, pooling, resizing, normalisation, attention.
//
// All values are (N, H, W, C) in memory; a sequence is a map of height 1. Loops are cut by the size of the values, never
// by the number of threads, so that answers do not depend on it.
#pragma once

#include <cmath>

#include "layers.h"
#include "parallel.h"

namespace ptocr {

struct Shape {
    int64_t n = 0, h = 0, w = 0, c = 0;
    int64_t pixels() const { return n * h * w; }
    int64_t size() const { return pixels() * c; }
};

constexpr int64_t BLOCK = 16 * 1024;  // values that are worth a thread's turn

template <class T>
inline typename Lanes<WIDE>::F some(const T* at, int64_t count) {
    if (count >= WIDE) return widen<WIDE>(at);
    T values[WIDE] = {};
    std::memcpy(values, at, count * sizeof(T));
    return widen<WIDE>(values);
}

inline float sum_of(Lanes<WIDE>::F v) {
    float sum = 0;
    for (int i = 0; i < WIDE; i++) sum += v[i];
    return sum;
}
inline float most_of(Lanes<WIDE>::F v) {
    float most = v[0];
    for (int i = 1; i < WIDE; i++) most = std::max(most, v[i]);
    return most;
}

// body(begin, end) over `count` units of `size` values.
template <class Body>
void in_blocks(int64_t count, int64_t size, Body body) {
    int64_t step = std::max<int64_t>(1, BLOCK / std::max<int64_t>(1, size));
    each((count + step - 1) / step, [&](int64_t i) { body(i * step, std::min(count, (i + 1) * step)); });
}

template <class T, class Function>
void elementwise(const T* x, T* y, int64_t size, Function function) {
    in_blocks(size, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i += WIDE)
            narrow<WIDE>(y + i, function(some(x + i, end - i), i, end - i), (int)std::min<int64_t>(WIDE, end - i));
    });
}

enum Unary { SCALE = GELU + 1, CLAMP };  // after the activations: x * a + b; between a and b

template <class T>
void unary(int64_t kind, float a, float b, const T* x, T* y, int64_t size) {
    typedef Lanes<WIDE>::F F;
    if (kind == SCALE) return elementwise(x, y, size, [=](F v, int64_t, int64_t) { return v * a + b; });
    if (kind == CLAMP) return elementwise(x, y, size, [=](F v, int64_t, int64_t) { return clamp<WIDE>(v, a, b); });
    with_activation(kind, [&](auto act) {
        elementwise(x, y, size, [](F v, int64_t, int64_t) { return activate<WIDE, decltype(act)::value>(v); });
    });
}

enum Binary { ADD, MULTIPLY, SUBTRACT };

template <class T, int KIND>
void binary_of(const T* a, Shape shape, const T* b, bool spread, T* y) {
    typedef Lanes<WIDE>::F F;
    auto combine = [](F p, F q) { return KIND == ADD ? p + q : KIND == MULTIPLY ? p * q : p - q; };
    if (!spread) {
        elementwise(a, y, shape.size(), [&](F v, int64_t i, int64_t left) { return combine(v, some(b + i, left)); });
        return;
    }
    int64_t inside = shape.h * shape.w, c = shape.c;  // b: (N, 1, 1, C)
    in_blocks(shape.pixels(), c, [&](int64_t begin, int64_t end) {
        for (int64_t p = begin; p < end; p++)
            for (int64_t i = 0; i < c; i += WIDE)
                narrow<WIDE>(y + p * c + i, combine(some(a + p * c + i, c - i), some(b + p / inside * c + i, c - i)),
                             (int)std::min<int64_t>(WIDE, c - i));
    });
}

template <class T>
void binary(int64_t kind, const T* a, Shape shape, const T* b, bool spread, T* y) {
    if (kind == ADD) binary_of<T, ADD>(a, shape, b, spread, y);
    if (kind == MULTIPLY) binary_of<T, MULTIPLY>(a, shape, b, spread, y);
    if (kind == SUBTRACT) binary_of<T, SUBTRACT>(a, shape, b, spread, y);
}

// Mean over height and width: (N, H, W, C) -> (N, 1, 1, C). Partial sums of pieces of fixed size, then their sum.
template <class T>
void mean(const T* x, Shape shape, T* y) {
    typedef Lanes<WIDE>::F F;
    static thread_local Scratch<float> scratch;
    int64_t inside = shape.h * shape.w, c = shape.c, padded = (c + WIDE - 1) / WIDE * WIDE;
    int64_t step = std::max<int64_t>(64, BLOCK / c), pieces = (inside + step - 1) / step;
    float* sums = scratch.of(shape.n * pieces * padded);
    each(shape.n * pieces, [&](int64_t i) {
        const T* at = x + (i / pieces * inside + i % pieces * step) * c;
        int64_t pixels = std::min(step, inside - i % pieces * step);
        for (int64_t k = 0; k < c; k += WIDE) {
            F sum = {}, more = {};
            int64_t p = 0;
            for (; p + 2 <= pixels; p += 2) {
                sum += some(at + p * c + k, c - k);
                more += some(at + (p + 1) * c + k, c - k);
            }
            if (p < pixels) sum += some(at + p * c + k, c - k);
            narrow<WIDE>(sums + i * padded + k, sum + more, WIDE);
        }
    });
    for (int64_t n = 0; n < shape.n; n++)
        for (int64_t k = 0; k < c; k += WIDE) {
            F sum = {};
            for (int64_t i = 0; i < pieces; i++) sum += widen<WIDE>(sums + (n * pieces + i) * padded + k);
            narrow<WIDE>(y + n * c + k, sum * (1.0f / inside), (int)std::min<int64_t>(WIDE, c - k));
        }
}

// Channels of several maps side by side, each enlarged by nearest neighbour to the size of the result.
template <class T>
void concat(const T* const* maps, const int64_t* channels, const int64_t* factors, int64_t count, Shape to, T* y) {
    in_blocks(to.n * to.h, to.w * to.c, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
            int64_t n = row / to.h, r = row % to.h, place = 0;
            for (int64_t m = 0; m < count; place += channels[m++]) {
                int64_t f = factors[m], c = channels[m], width = to.w / f;
                const T* at = maps[m] + (n * (to.h / f) + r / f) * width * c;
                for (int64_t p = 0; p < to.w; p++)
                    std::memcpy((void*)(y + (row * to.w + p) * to.c + place), at + p / f * c, c * sizeof(T));
            }
        }
    });
}

// a + the coarser map b, enlarged by nearest neighbour.
template <class T>
void add_enlarged(const T* a, Shape shape, const T* b, int64_t factor, T* y) {
    int64_t c = shape.c, width = shape.w / factor, height = shape.h / factor;
    in_blocks(shape.n * shape.h, shape.w * c, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++)
            for (int64_t p = 0; p < shape.w; p++) {
                const T* other = b + ((row / shape.h * height + row % shape.h / factor) * width + p / factor) * c;
                int64_t at = (row * shape.w + p) * c;
                for (int64_t k = 0; k < c; k += WIDE)
                    narrow<WIDE>(y + at + k, some(a + at + k, c - k) + some(other + k, c - k),
                                 (int)std::min<int64_t>(WIDE, c - k));
            }
    });
}

struct Window {
    int64_t kh, kw, sh, sw, top, left;  // kh 0: the whole height
    Shape of(Shape x) const {
        if (!kh) return {x.n, 1, (x.w - kw) / sw + 1, x.c};
        return {x.n, (x.h + 2 * top - kh) / sh + 1, (x.w + 2 * left - kw) / sw + 1, x.c};
    }
};

// Mean or maximum of windows; places outside the map count for neither (means are taken of windows inside only).
template <class T>
void pool(bool largest, Window window, const T* x, Shape from, Shape to, T* y) {
    typedef Lanes<WIDE>::F F;
    if (!window.kh) window.kh = window.sh = from.h;
    float share = 1.0f / (window.kh * window.kw);
    in_blocks(to.n * to.h, to.w * to.c, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++)
            for (int64_t p = 0; p < to.w; p++) {
                int64_t top = row % to.h * window.sh - window.top, left = p * window.sw - window.left;
                int64_t last_row = std::min(from.h, top + window.kh), last = std::min(from.w, left + window.kw);
                for (int64_t k = 0; k < to.c; k += WIDE) {
                    F sum = largest ? F{} - 3e38f : F{};
                    for (int64_t u = std::max<int64_t>(0, top); u < last_row; u++)
                        for (int64_t v = std::max<int64_t>(0, left); v < last; v++) {
                            F value = some(x + ((row / to.h * from.h + u) * from.w + v) * to.c + k, to.c - k);
                            sum = !largest ? sum + value : value > sum ? value : sum;
                        }
                    narrow<WIDE>(y + (row * to.w + p) * to.c + k, largest ? sum : sum * share,
                                 (int)std::min<int64_t>(WIDE, to.c - k));
                }
            }
    });
}

// Pixel shuffle: (N, H, W, C r r) -> (N, H r, W r, C).
template <class T>
void shuffle(const T* x, Shape from, int64_t r, T* y) {
    int64_t channels = from.c / (r * r);
    in_blocks(from.n * from.h, from.w * from.c, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++)
            for (int64_t u = 0; u < r; u++)
                for (int64_t p = 0; p < from.w; p++)
                    for (int64_t v = 0; v < r; v++)
                        for (int64_t k = 0; k < channels; k++)
                            y[(((row * r + u) * from.w + p) * r + v) * channels + k] =
                                x[(row * from.w + p) * from.c + (k * r + u) * r + v];
    });
}

// Layer normalisation over the channels.
template <class T>
void layer_norm(const T* x, int64_t pixels, int64_t c, const float* weight, const float* bias, float eps, T* y) {
    typedef Lanes<WIDE>::F F;
    in_blocks(pixels, c, [&](int64_t begin, int64_t end) {
        for (const T* at = x + begin * c; at < x + end * c; at += c) {
            F sum = {}, squares = {};
            for (int64_t k = 0; k < c; k += WIDE) sum += some(at + k, c - k);
            float middle = sum_of(sum) / c;
            for (int64_t k = 0; k < c; k += WIDE) {
                F away = some(at + k, c - k) - middle;
                if (c - k < WIDE)
                    for (int64_t i = c - k; i < WIDE; i++) away[i] = 0;
                squares += away * away;
            }
            float scale = 1.0f / std::sqrt(sum_of(squares) / c + eps);
            for (int64_t k = 0; k < c; k += WIDE)
                narrow<WIDE>(y + (at - x) + k,
                             (some(at + k, c - k) - middle) * scale * some(weight + k, c - k) + some(bias + k, c - k),
                             (int)std::min<int64_t>(WIDE, c - k));
        }
    });
}

// Softmax over the channels.
template <class T>
void softmax(const T* x, int64_t pixels, int64_t c, T* y) {
    typedef Lanes<WIDE>::F F;
    in_blocks(pixels, c, [&](int64_t begin, int64_t end) {
        static thread_local Scratch<float> scratch;
        float* row = scratch.of(c);
        for (int64_t p = begin; p < end; p++) {
            float most = -3e38f, sum = 0;
            for (int64_t k = 0; k < c; k++) most = std::max(most, value_of(x[p * c + k]));
            for (int64_t k = 0; k < c; k += WIDE)
                narrow<WIDE>(row + k, exponential<WIDE>(some(x + p * c + k, c - k) - most),
                             (int)std::min<int64_t>(WIDE, c - k));
            for (int64_t k = 0; k < c; k++) sum += row[k];
            F share = F{} + 1.0f / sum;
            for (int64_t k = 0; k < c; k += WIDE)
                narrow<WIDE>(y + p * c + k, some(row + k, c - k) * share, (int)std::min<int64_t>(WIDE, c - k));
        }
    });
}

// Multi-head scaled dot-product attention: (N, 1, L, 3 heads d) of queries, keys, values -> (N, 1, L, heads d).
template <class T>
void attention(const T* qkv, int64_t batch, int64_t length, int64_t dim, int64_t heads, T* y) {
    typedef Lanes<WIDE>::F F;
    constexpr int64_t QUERIES = 64;
    int64_t d = dim / heads, padded = (length + WIDE - 1) / WIDE * WIDE, deep = (d + WIDE - 1) / WIDE * WIDE;
    int64_t blocks = (length + QUERIES - 1) / QUERIES;
    float scale = 1.0f / std::sqrt((float)d);
    each(batch * heads * blocks, [&](int64_t i) {
        static thread_local Scratch<float> scratch;
        float *keys = scratch.of(d * padded + length * deep + padded), *values = keys + d * padded,
              *weights = values + length * deep;
        int64_t head = i / blocks % heads;
        const T* rows = qkv + i / blocks / heads * length * 3 * dim + head * d;
        std::memset(keys, 0, (d * padded + length * deep) * sizeof(float));
        for (int64_t l = 0; l < length; l++)
            for (int64_t k = 0; k < d; k++) {
                keys[k * padded + l] = value_of(rows[l * 3 * dim + dim + k]) * scale;
                values[l * deep + k] = value_of(rows[l * 3 * dim + 2 * dim + k]);
            }
        for (int64_t q = i % blocks * QUERIES; q < std::min(length, (i % blocks + 1) * QUERIES); q++) {
            F most = F{} - 3e38f;
            for (int64_t l = 0; l < padded; l += WIDE) {
                F dot = {};
                for (int64_t k = 0; k < d; k++)
                    dot += value_of(rows[q * 3 * dim + k]) * widen<WIDE>(keys + k * padded + l);
                for (int64_t j = length - l; j < WIDE; j++) dot[j] = -3e38f;
                most = dot > most ? dot : most;
                narrow<WIDE>(weights + l, dot, WIDE);
            }
            float top = most_of(most);
            F sum = {};
            for (int64_t l = 0; l < padded; l += WIDE) {
                F e = exponential<WIDE>(widen<WIDE>(weights + l) - top);
                for (int64_t j = length - l; j < WIDE; j++) e[j] = 0;
                sum += e;
                narrow<WIDE>(weights + l, e, WIDE);
            }
            float share = 1.0f / sum_of(sum);
            T* to = y + (i / blocks / heads * length + q) * dim + head * d;
            for (int64_t k = 0; k < d; k += WIDE) {
                F acc = {}, more = {};
                int64_t l = 0;
                for (; l + 2 <= length; l += 2) {
                    acc += weights[l] * widen<WIDE>(values + l * deep + k);
                    more += weights[l + 1] * widen<WIDE>(values + (l + 1) * deep + k);
                }
                if (l < length) acc += weights[l] * widen<WIDE>(values + l * deep + k);
                narrow<WIDE>(to + k, (acc + more) * share, (int)std::min<int64_t>(WIDE, d - k));
            }
        }
    });
}

}  // namespace ptocr
