// Greedy CTC: the best class of every step and its probability, straight from the last linear layer's input.
//
// The logits of all classes never exist: a few panels' worth of them stay in the first-level cache and are folded into
// running maxima and sums ("online softmax", Milakov and Gimelshein 2018), a lane at a time.
#pragma once

#include "dense.h"
#include "operators.h"

namespace ptocr {

constexpr int64_t STEPS = 48;   // of a block
constexpr int64_t PANELS = 4;   // between two foldings
constexpr int64_t RANGES = 16;  // of classes

// Of one step, by lanes: the largest logit, its class, and the sum of exp(logit - largest).
struct Running {
    Lanes<WIDE>::F most, sum;
    Lanes<WIDE>::I best;

    void fold(const float* logits, int64_t vectors, int32_t first) {
        typedef Lanes<WIDE>::I I;
        I lanes;
        for (int i = 0; i < WIDE; i++) lanes[i] = first + i;
        auto before = most;
        for (int64_t v = 0; v < vectors; v++, lanes += WIDE) {
            auto value = widen<WIDE>(logits + v * WIDE);
            I larger = value > most;
            most = larger ? value : most;
            best = larger ? lanes : best;
        }
        sum *= exponential<WIDE>(before - most);
        for (int64_t v = 0; v < vectors; v++) sum += exponential<WIDE>(widen<WIDE>(logits + v * WIDE) - most);
    }
};

// Logits of the vectors [from, until) of classes, whole panels, for `count` steps; `row` numbers apart.
template <class T>
void logit_panels(const T* x, int64_t count, const Layer& layer, const char* buffer, int64_t from, int64_t until,
                  int64_t full, int64_t depth, float* logits, int64_t row) {
    const T* weight = (const T*)(buffer + layer.weight);
    const float* bias = (const float*)(buffer + layer.bias);
    for (int64_t v = from; v < until; v += full) {
        int64_t n = std::min(full, until - v);
        auto go = [&](auto vectors) {
            constexpr int N = decltype(vectors)::value, M = most_pixels(N);
            auto block = [&](auto pixels, int64_t p) {
                constexpr int P = decltype(pixels)::value;
                typename Lanes<WIDE>::F acc[P][N];
                const T* slab = x + p * layer.in;
                micro_kernel<WIDE, P, N, T>(&slab, 1, layer.in, depth, weight + v * WIDE * depth, acc);
#pragma GCC unroll 16
                for (int i = 0; i < P; i++)
#pragma GCC unroll 4
                    for (int j = 0; j < N; j++)
                        narrow<WIDE>(logits + (p + i) * row + (v - from + j) * WIDE,
                                     acc[i][j] + load<typename Lanes<WIDE>::F>(bias + (v + j) * WIDE), WIDE);
            };
            int64_t p = 0;
            for (; p + M <= count; p += M) block(std::integral_constant<int, M>(), p);
            if (p < count && count >= M)
                block(std::integral_constant<int, M>(), count - M);  // some steps twice: the same values again
            else
                for (; p < count; p++) block(std::integral_constant<int, 1>(), p);
        };
        if (n == 1) go(std::integral_constant<int, 1>());
        if (n == 2) go(std::integral_constant<int, 2>());
        if (n == 3) go(std::integral_constant<int, 3>());
        if (n == 4) go(std::integral_constant<int, 4>());
    }
}

// layer: dense and pointwise, in lanes of WIDE, its bias padded with very small numbers.
template <class T>
void greedy(const T* x, int64_t steps, const Layer& layer, const char* buffer, int64_t* indices, float* probs) {
    int64_t vectors = (layer.out + WIDE - 1) / WIDE, depth = padded_run(layer, MulAdd<WIDE, T>::PACK);
    int64_t full = panel_vectors(vectors), panels = (vectors + full - 1) / full;
    int64_t share = (panels + RANGES - 1) / RANGES, ranges = (panels + share - 1) / share;
    static thread_local Scratch<Running> scratch;
    Running* running = scratch.of(ranges * steps);
    int64_t blocks = (steps + STEPS - 1) / STEPS;
    each(ranges * blocks, [&](int64_t i) {
        static thread_local Scratch<float> logits_of;
        float* logits = logits_of.of(STEPS * PANELS * 4 * WIDE);
        int64_t range = i / blocks, first = i % blocks * STEPS, count = std::min(STEPS, steps - first);
        int64_t begin = range * share, end = std::min(panels, begin + share), row = PANELS * full * WIDE;
        Running* here = running + range * steps + first;
        for (int64_t s = 0; s < count; s++) here[s] = Running{Lanes<WIDE>::F{} - 3e38f, Lanes<WIDE>::F{}, Lanes<WIDE>::I{}};
        for (int64_t panel = begin; panel < end; panel += PANELS) {
            int64_t some = std::min(PANELS, end - panel), from = panel * full, until = std::min(vectors, (panel + some) * full);
            logit_panels<T>(x + first * layer.in, count, layer, buffer, from, until, full, depth, logits, row);
            for (int64_t s = 0; s < count; s++) here[s].fold(logits + s * row, until - from, (int32_t)(from * WIDE));
        }
    });
    for (int64_t s = 0; s < steps; s++) {
        float most = -3e38f, sum = 0;
        int64_t best = 0;
        for (int64_t r = 0; r < ranges; r++)
            for (int l = 0; l < WIDE; l++) {
                const Running& part = running[r * steps + s];
                if (part.most[l] > most || (part.most[l] == most && part.best[l] < best))
                    most = part.most[l], best = part.best[l];
            }
        for (int64_t r = 0; r < ranges; r++)
            sum += sum_of(running[r * steps + s].sum * exponential<WIDE>(running[r * steps + s].most - most));
        indices[s] = best, probs[s] = 1.0f / sum;
    }
}

}  // namespace ptocr
