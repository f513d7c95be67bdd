// Depthwise convolutions: a vector of channels of several neighbouring pixels at a time.
#pragma once

#include <algorithm>

#include "layers.h"

namespace ptocr {

// One vector of channels of OUT neighbouring output pixels; every column of the kernel is inside the map.
template <int W, int K, int S, int OUT, class T>
inline void depthwise_block(const T* const* rows, int64_t first_row, int64_t last_row, int64_t pixel,
                            const float* weight, int64_t padded, typename Lanes<W>::F (&acc)[OUT]) {
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

constexpr int64_t STRIP = 32;  // pixels whose receptive fields stay in the first-level cache for one vector of channels

template <int W, int K, int S, int ACT, class T>
void depthwise_inner(const Map<T>& x, const Layer& layer, const Params<float>& params, int64_t top, int64_t first,
                     int64_t last, RowView<T> to) {
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
            bool affine = params.scale != 1.0f || params.shift != 0.0f;
            auto store = [&](F v, int64_t p) {
                v = activate<W, ACT>(v);
                if (affine) v = v * params.scale + params.shift;
                narrow<W>(to.at + (p - first) * to.pixel + c, v, W);
            };
            auto look = [&](int64_t p) {
                for (int64_t u = first_row; u < last_row; u++) rows[u] = x.pixel(top + u, p * S - layer.left) + c;
            };
            int64_t p = strip;
            auto many = [&](int64_t p) {
                F acc[OUT];
#pragma GCC unroll 8
                for (int i = 0; i < OUT; i++) acc[i] = bias;
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
                F acc[1] = {bias};
                look(p);
                depthwise_block<W, K, S, 1>(rows, first_row, last_row, x.channels, weight, padded, acc);
                store(acc[0], p);
            }
        }
}

// Halo, or a kernel without code of its own, pixel by pixel: MANY vectors of channels at a time, so that no sum waits
// for the one before.
template <int W, int ACT, int MANY, class T>
inline void depthwise_pixel(const Map<T>& x, const Layer& layer, const Params<float>& params, int64_t top,
                            int64_t column, int64_t channel, T* to) {
    typedef typename Lanes<W>::F F;
    F acc[MANY];
    for (int j = 0; j < MANY; j++) acc[j] = load<F>(params.bias + channel + j * W);
    for (int64_t u = std::max<int64_t>(0, -top); u < std::min<int64_t>(layer.kh, x.height - top); u++)
        for (int64_t k = std::max<int64_t>(0, -column); k < std::min<int64_t>(layer.kw, x.width - column); k++) {
            const T* at = x.pixel(top + u, column + k) + channel;
            const float* weight = params.weight + (u * layer.kw + k) * layer.out + channel;
#pragma GCC unroll 8
            for (int j = 0; j < MANY; j++) acc[j] += widen<W>(at + j * W) * load<F>(weight + j * W);
        }
    for (int j = 0; j < MANY; j++)
        narrow<W>(to + channel + j * W, activate<W, ACT>(acc[j]) * params.scale + params.shift, W);
}

template <int W, int ACT, class T>
void depthwise_halo(const Map<T>& x, const Layer& layer, const Params<float>& params, int64_t top, int64_t first,
                    int64_t begin, int64_t end, RowView<T> to) {
    constexpr int MANY = 5;
    for (int64_t p = begin; p < end; p++) {
        int64_t column = p * layer.sw - layer.left, c = 0;
        T* at = to.at + (p - first) * to.pixel;
        for (; c + MANY * W <= layer.out; c += MANY * W)
            depthwise_pixel<W, ACT, MANY, T>(x, layer, params, top, column, c, at);
        for (; c < layer.out; c += W) depthwise_pixel<W, ACT, 1, T>(x, layer, params, top, column, c, at);
    }
}

template <int W, int ACT, class T>
void depthwise_lanes(const Map<T>& x, const Layer& layer, const Params<float>& params, int64_t row, int64_t first,
                     int64_t last, RowView<T> to) {
    ValidRange valid(x, layer, row, first, last);
    auto inner = [&](auto run) {
        RowView<T> moved{to.at + (valid.first - first) * to.pixel, to.pixel};
        run(x, layer, params, valid.top, valid.first, valid.last, moved);
    };
    int64_t shape = layer.kw * 10 + layer.sw;
    if (shape == 31)
        inner(depthwise_inner<W, 3, 1, ACT, T>);
    else if (shape == 32)
        inner(depthwise_inner<W, 3, 2, ACT, T>);
    else if (shape == 51)
        inner(depthwise_inner<W, 5, 1, ACT, T>);
    else if (shape == 52)
        inner(depthwise_inner<W, 5, 2, ACT, T>);
    else if (shape == 71)
        inner(depthwise_inner<W, 7, 1, ACT, T>);
    else
        valid.first = valid.last = last;
    depthwise_halo<W, ACT, T>(x, layer, params, valid.top, first, first, valid.first, to);
    depthwise_halo<W, ACT, T>(x, layer, params, valid.top, first, valid.last, last, to);
}

template <class T>
void depthwise_row(const Map<T>& x, const Layer& layer, const Params<float>& params, int64_t row, int64_t first,
                   int64_t last, RowView<T> to) {
    with_activation(layer.act, [&](auto act) {
        if (layer.lanes == WIDE)
            depthwise_lanes<WIDE, act.value, T>(x, layer, params, row, first, last, to);
        else
            depthwise_lanes<NARROW, act.value, T>(x, layer, params, row, first, last, to);
    });
}

}  // namespace ptocr
