// Chains of convolutions on a CPU, fused: the picture runs through all layers while it is in the cache.
//
// Maps are channels last. A chain begins with any convolution and goes on with any but transposed ones, each with its
// bias, activation and affine layer. Weights come laid out by ptocr/runtime/cpu/chains.py, so that nothing is prepared
// for a size of picture, kept, or laid out again.

#pragma once

#include <vector>

#include "dense.h"
#include "depthwise.h"
#include "parallel.h"

namespace ptocr {

// Of the widest maps of a tile together: about the second-level cache's share.
constexpr int64_t TILE_VALUES = 40 * 1024;
constexpr int64_t BAND_ROWS = 16;  // at least so many rows of output per band, so that few are made twice

// Strided view of a map: rows and pixels may lie apart, as every second one of a transposed convolution's output.
template <class T>
struct MapView {
    T* at;
    int64_t height, width, row, pixel;
};

// Bits of a plan's first number: which further tensors the operator takes.
enum Extra { HAS_OTHER = 1, HAS_GATES = 2 };

// Inputs of a chain beside the picture.
template <class T>
struct Inputs {
    const T* other;  // a map to add before an activation
    const T* gates;  // scales of the input's channels
    const char* params;
};

// A layer and the pointwise ones behind it.
struct Group {
    const Layer* layers;
    int64_t count, height, width, out_height, out_width;  // of input and output

    Group(const Layer* first, const Layer* end, int64_t height, int64_t width)
        : layers(first), count(1), height(height), width(width) {
        while (first + count < end && first[count].pointwise()) count++;
        out_height = first->out_height(height), out_width = first->out_width(width);
    }
    int64_t channels() const { return layers[count - 1].out; }
    int64_t widest() const {
        int64_t most = 0;
        for (int64_t l = 0; l < count; l++) most = std::max(most, layers[l].in + layers[l].out);
        return most;
    }
    // Rows of input that a row of output looks at.
    int64_t first_row(int64_t row) const { return std::max<int64_t>(0, row * layers->sh - layers->top); }
    int64_t last_row(int64_t row) const { return std::min(height, row * layers->sh - layers->top + layers->kh) - 1; }
};

// Columns [left, right) of a row of the maximum of 2 x 2 pixels.
template <class T>
void pool_row(const Map<T>& x, const Layer& layer, int64_t row, int64_t left, int64_t right, RowView<T> to) {
    for (int64_t column = left; column < right; column++)
        for (int64_t c = 0; c < layer.out; c += NARROW) {
            Lanes<NARROW>::F most = {};
            for (int64_t u = row; u < std::min(row + 2, x.height); u++)
                for (int64_t k = column; k < std::min(column + 2, x.width); k++) {
                    auto value = widen<NARROW>(x.pixel(u, k) + c);
                    most = value > most ? value : most;
                }
            narrow<NARROW>(to.at + (column - left) * to.pixel + c, most, NARROW);
        }
}

// Rows [top, bottom) and columns [left, right) of one picture's output.
struct Tile {
    int64_t picture, top, bottom, left, right;
    int64_t across() const { return right - left; }
    int64_t pixels() const { return (bottom - top) * across(); }
};

// The part of the other map that is added to a tile, or null.
template <class T>
const T* other_of(const Group& group, const Tile& tile, const Inputs<T>& inputs) {
    static thread_local Scratch<T> doubled;
    const Layer& head = group.layers[0];
    if (head.added == OTHER)
        return inputs.other + ((tile.picture * group.out_height + tile.top) * group.out_width + tile.left) * head.out;
    if (head.added != DOUBLED) return nullptr;
    T *begin = doubled.of(tile.pixels() * head.out), *at = begin;
    int64_t height = group.out_height / 2, width = group.out_width / 2;
    for (int64_t r = tile.top; r < tile.bottom; r++)
        for (int64_t c = tile.left; c < tile.right; c++, at += head.out)
            std::memcpy((void*)at, inputs.other + ((tile.picture * height + r / 2) * width + c / 2) * head.out,
                        head.out * sizeof(T));
    return begin;
}

// `pixels` pixels with their channels scaled.
template <class T>
const T* gated(const T* at, int64_t pixels, int64_t channels, const T* gates) {
    static thread_local Scratch<T> scaled;
    T* to = scaled.of(pixels * channels);
    for (int64_t p = 0; p < pixels; p++)
        for (int64_t c = 0; c < channels; c += NARROW)
            narrow<NARROW>(to + p * channels + c, widen<NARROW>(at + p * channels + c) * widen<NARROW>(gates + c),
                           NARROW);
    return to;
}

// A group's first layer, one that looks at more than a pixel.
template <class T>
void run_head(const Layer& head, const Map<T>& map, const Tile& tile, RowView<T> to, int64_t to_row, const T* other,
              const Inputs<T>& inputs) {
    for (int64_t row = tile.top; row < tile.bottom; row++) {
        RowView<T> place{to.at + (row - tile.top) * to_row, to.pixel};
        RowView<const T> more{other ? other + (row - tile.top) * tile.across() * head.out : nullptr, head.out};
        if (head.kind == DEPTHWISE)
            depthwise_row<T>(map, head, Params<float>(head, inputs.params), row, tile.left, tile.right, place);
        else if (head.kind == POOL)
            pool_row<T>(map, head, row, tile.left, tile.right, place);
        else
            dense_row<T>(map, head, Params<T>(head, inputs.params), row, tile.left, tile.right, place, more);
    }
}

// A tile of a group's output. to: its first pixel, with `to_row` values between rows.
template <class T>
void run_tile(const Group& group, const Map<T>& map, const Tile& tile, RowView<T> to, int64_t to_row,
              const Inputs<T>& inputs) {
    static thread_local Scratch<T> begun, passed[2];
    const Layer& head = group.layers[0];
    const T* other = other_of(group, tile, inputs);
    const T* now = head.pointwise() ? map.pixel(tile.top, tile.left) : nullptr;
    int64_t pixels = tile.pixels(), next = !head.pointwise();
    if (group.count == next) return run_head<T>(head, map, tile, to, to_row, other, inputs);
    if (next) {
        RowView<T> scratch{begun.of(pixels * head.out), head.out};
        run_head<T>(head, map, tile, scratch, tile.across() * head.out, other, inputs);
        now = scratch.at;
    } else if (inputs.gates) {
        now = gated<T>(now, pixels, head.in, inputs.gates + tile.picture * head.in);
    }
    const T* entering = now;
    for (int64_t l = next; l < group.count; l++) {
        const Layer& layer = group.layers[l];
        RowView<T> result = l + 1 == group.count ? to : RowView<T>{passed[l % 2].of(pixels * layer.out), layer.out};
        RowView<const T> added{layer.added == ENTERING ? entering : l == 0 ? other : nullptr, layer.out};
        gemm<T>(&now, 1, layer.in, layer.in, pixels, layer, Params<T>(layer, inputs.params), result, added);
        now = result.at;
    }
}

// One group over a batch, tile by tile.
template <class T>
void run_group(const T* x, int64_t batch, Group group, MapView<T> out, const Inputs<T>& inputs) {
    bool dense_rows = out.row == out.width * out.pixel;
    if (group.layers->pointwise() && dense_rows && !inputs.gates &&
        group.layers->added != DOUBLED) {  // all pixels in one row
        group.width = group.out_width = out.width = batch * group.height * group.width;
        group.height = group.out_height = out.height = batch = 1;
        out.row = out.width * out.pixel;
    }
    int64_t widest = group.widest();
    int64_t across = std::min(out.width, std::max<int64_t>(48, TILE_VALUES / widest / 24 * 24));
    int64_t tiles = (out.width + across - 1) / across;
    int64_t down =
        tiles > 1 || !dense_rows ? 1 : std::max<int64_t>(1, std::min(out.height, TILE_VALUES / widest / across));
    int64_t bands = (out.height + down - 1) / down;
    each(batch * bands * tiles, [&](int64_t i) {
        int64_t n = i / (bands * tiles), top = i / tiles % bands * down, left = i % tiles * across;
        Map<T> map{x + n * group.height * group.width * group.layers->in, group.height, group.width, group.layers->in,
                   group.height};
        RowView<T> to{out.at + (n * out.height + top) * out.row + left * out.pixel, out.pixel};
        Tile here{n, top, std::min(out.height, top + down), left, std::min(out.width, left + across)};
        run_tile<T>(group, map, here, to, out.row, inputs);
    });
}

// Several groups over a batch, fused, row by row: between two of them a ring buffer holds the rows of the map that the
// next one's kernel looks at.
template <class T>
void run_groups(const T* x, int64_t batch, const std::vector<Group>& groups, MapView<T> out, const Inputs<T>& inputs) {
    int64_t count = groups.size();
    int64_t bands = std::max<int64_t>(1, std::min<int64_t>(threads() * BANDS, out.height / BAND_ROWS));
    each(batch * bands, [&](int64_t i) {
        int64_t n = i / bands, band = i % bands;
        static thread_local std::vector<Scratch<T>> ring_buffers;
        if ((int64_t)ring_buffers.size() < count) ring_buffers.resize(count);
        std::vector<Map<T>> maps;
        std::vector<int64_t> done(count, 0);  // rows of each group's output
        for (int64_t g = 0; g < count; g++) {
            const Group& group = groups[g];
            int64_t kept = g == 0 ? group.height : group.layers->kh, channels = group.layers->in;
            int64_t row = group.width * channels;
            const T* at = g == 0 ? x + n * group.height * row : ring_buffers[g].of(kept * row);
            maps.push_back({at, group.height, group.width, channels, kept});
        }
        auto make = [&](auto& self, int64_t g, int64_t last) -> void {  // rows up to `last` of group g
            const Group& group = groups[g];
            for (; done[g] <= last; done[g]++) {
                int64_t row = done[g];
                if (g > 0) {
                    done[g - 1] = std::max(done[g - 1], group.first_row(row));
                    self(self, g - 1, group.last_row(row));
                }
                RowView<T> to{out.at + (n * out.height + row) * out.row, out.pixel};
                if (g + 1 < count) to = RowView<T>{(T*)maps[g + 1].pixel(row, 0), group.channels()};
                run_tile<T>(group, maps[g], {n, row, row + 1, 0, group.out_width}, to, 0, inputs);
            }
        };
        done[count - 1] = band * out.height / bands;
        make(make, count - 1, (band + 1) * out.height / bands - 1);
    });
}

template <class T>
void run_chain(const T* x, int64_t batch, const Layer* layers, int64_t count, int64_t height, int64_t width, T* out,
               const Inputs<T>& inputs) {
    std::vector<Group> groups;
    for (const Layer* first = layers; first < layers + count; first += groups.back().count) {
        groups.emplace_back(first, layers + count, height, width);
        height = groups.back().out_height, width = groups.back().out_width;
    }
    int64_t channels = groups.back().channels();
    MapView<T> to{out, height, width, width * channels, channels};
    if (groups.size() == 1) return run_group<T>(x, batch, groups[0], to, inputs);
    run_groups<T>(x, batch, groups, to, inputs);
}

// A transposed convolution of stride 2: four layers, one for every second row and column of the output.
template <class T>
void run_transposed(const T* x, int64_t batch, const Layer* phases, int64_t height, int64_t width, T* out,
                    const Inputs<T>& inputs) {
    int64_t channels = phases->out, values = height * width;
    for (int64_t n = 0; n < batch; n++)
        for (int phase = 0; phase < 4; phase++) {
            Layer layer = phases[phase];
            layer.kind = DENSE;
            T* begin = out + n * 4 * values * channels + (phase / 2 * 2 * width + phase % 2) * channels;
            run_group<T>(x + n * values * layer.in, 1, Group(&layer, &layer + 1, height, width),
                         MapView<T>{begin, height, width, 4 * width * channels, 2 * channels}, inputs);
        }
}

// A chain that begins with a pointwise layer whose output channels are scaled, differently for every picture: its
// weights are made for each, with those of a dense layer behind it if it is MIXED. Weights are float32: of the
// pointwise layer (out, in), of the other (kh, kw, in, out).
template <class T>
void run_scaled(const T* x, int64_t batch, const Layer* layers, int64_t count, int64_t height, int64_t width, T* out,
                const Inputs<T>& inputs) {
    bool mixes = layers[0].kind == MIXED;
    const Layer &inner = layers[0], &outer = layers[mixes];
    const float *weight = (const float*)(inputs.params + inner.weight),
                *wide = (const float*)(inputs.params + outer.weight);
    int64_t in = inner.in, middle = inner.out, values = height * width;
    std::vector<Layer> chain(layers + mixes, layers + count);
    chain[0].kind = DENSE;
    std::vector<float> made(outer.kh * outer.kw * in * outer.out);
    for (int64_t n = 0; n < batch; n++) {
        std::fill(made.begin(), made.end(), 0.0f);
        for (int64_t m = 0; m < middle; m++) {
            float gate = value_of(inputs.gates[n * middle + m]);
            for (int64_t c = 0; c < in; c++) {
                float scaled = gate * weight[m * in + c];
                if (!mixes) made[c * middle + m] = scaled;
                for (int64_t t = 0; mixes && t < outer.kh * outer.kw; t++)
                    for (int64_t o = 0; o < outer.out; o++)
                        made[(t * in + c) * outer.out + o] += scaled * wide[(t * middle + m) * outer.out + o];
            }
        }
        std::vector<T> panels = laid_out<T>(made.data(), chain[0]);
        chain[0].weight = (const char*)panels.data() - inputs.params;
        int64_t others = values * outer.out / (chain[0].added == DOUBLED ? 4 : 1);
        run_chain<T>(x + n * values * in, 1, chain.data(), chain.size(), height, width,
                     out + n * values * chain.back().out,
                     {inputs.other ? inputs.other + n * others : nullptr, nullptr, inputs.params});
    }
}

template <class T>
void run(const T* x, const int64_t* shape, const int64_t* plan, T* out, const Inputs<T>& inputs) {
    int64_t count = plan[1], batch = shape[0], height = shape[2], width = shape[3];
    const Layer* layers = (const Layer*)(plan + 2);
    if (layers->kind == TRANSPOSED) return run_transposed<T>(x, batch, layers, height, width, out, inputs);
    if (layers->kind == MIXED || layers->kind == SCALED)
        return run_scaled<T>(x, batch, layers, count, height, width, out, inputs);
    run_chain<T>(x, batch, layers, count, height, width, out, inputs);
}

}  // namespace ptocr
