// What a chain is made of, as ptocr/runtime/cpu/plan.py writes it, and the maps between.
#pragma once

#include <algorithm>

#include "vectors.h"

namespace ptocr {

// SCALED: pointwise, its output channels scaled as the caller says. MIXED: the same, one with the dense layer behind
// it. POOL: the maximum of 2 x 2 pixels, zeros outside.
enum Kind { DENSE, DEPTHWISE, TRANSPOSED, MIXED, SCALED, POOL };
// Residual added to a layer before its activation: a map of the caller's, what entered the pointwise layers before it,
// or a map of the caller's of half the size, doubled by nearest neighbour.
enum Added { NOTHING, OTHER, ENTERING, DOUBLED };

// One layer, field by field as PlanLayer of ptocr/runtime/cpu/plan.py. weight, bias: places in the buffer of
// parameters, in bytes. The bias is padded with zeros to whole vectors and followed by the affine layer's scale and
// shift.
struct Layer {
    int64_t kind, in, out, kh, kw, sh, sw, top, left, bottom, right, act, lanes, weight, bias, added;

    int64_t out_height(int64_t height) const { return (height + top + bottom - kh) / sh + 1; }
    int64_t out_width(int64_t width) const { return (width + left + right - kw) / sw + 1; }
    bool pointwise() const { return kind == DENSE && kh * kw * sh * sw == 1; }
};
static_assert(sizeof(Layer) == 16 * sizeof(int64_t), "PlanLayer of ptocr/runtime/cpu/plan.py has 16 fields");

// Strided view of a row: `pixel` values from one pixel to the next.
template <class T>
struct RowView {
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

// One picture's map, or a ring buffer of its last `kept` rows.
template <class T>
struct Map {
    const T* at;
    int64_t height, width, channels, kept;
    const T* pixel(int64_t row, int64_t column) const { return at + (row % kept * width + column) * channels; }
};

// Valid range of a row of output pixels: those whose receptive field lies inside the map; the others are its halo.
struct ValidRange {
    int64_t top, first, last;  // the kernel's first row on the map; output pixels [first, last) see nothing outside

    // more: whether a value behind the last pixel is read as well.
    template <class T>
    ValidRange(const Map<T>& x, const Layer& layer, int64_t row, int64_t begin, int64_t end, bool more = false) {
        top = row * layer.sh - layer.top;
        int64_t room = x.width + layer.left - layer.kw - more;
        first = std::min(end, std::max(begin, (layer.left + layer.sw - 1) / layer.sw));
        last = room < 0 ? first : std::max(first, std::min(end, room / layer.sw + 1));
    }
};

constexpr int64_t MOST_ROWS = 16;  // of a kernel

}  // namespace ptocr
