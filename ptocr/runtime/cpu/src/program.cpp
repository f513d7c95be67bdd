// Programs: a whole network as a flat list of instructions, run by one call.
//
// ptocr/runtime/cpu/lowering.py writes them. Sizes are worked out anew for every input; values get their places in one
// arena by how long they live. A program holds no state: any number of threads may run it at once.

#include <cstdio>
#include <new>
#include <stdexcept>
#include <string>

#include "convs.h"
#include "greedy.h"
#include "operators.h"

namespace ptocr {

// The first number of an instruction, as Op of ptocr/runtime/cpu/program.py.
enum Op {
    INPUT, CONVS, MEAN, UNARY, BINARY, CONCAT, ENLARGE, POOLING, SHUFFLE, NORM, ATTENTION, SOFTMAX, GREEDY, ROWS, MAP,
    OUTPUT
};

// length, op, result (-1: none), number of sources, sources, arguments
struct Instruction {
    int64_t op, result, count;
    const int64_t *sources, *args;
};

inline float number(int64_t bits) {
    float value;
    int32_t low = (int32_t)bits;
    std::memcpy(&value, &low, sizeof value);
    return value;
}

constexpr int64_t ALIGNMENT = 64, KEPT_BYTES = 64 << 20;  // an arena larger than that is given back after the run

struct Arena {
    char* at = nullptr;
    size_t size = 0;
    char* of(size_t wanted) {
        if (wanted > size) {
            drop();
            at = (char*)::operator new(wanted, std::align_val_t(ALIGNMENT));
            size = wanted;
        }
        return at;
    }
    void drop() { ::operator delete(at, std::align_val_t(ALIGNMENT)), at = nullptr, size = 0; }
    ~Arena() { drop(); }
};

struct Program {
    std::vector<int64_t> code;
    std::vector<Instruction> list;
    std::vector<int64_t> base, last;  // of each value: the value whose memory it has, the last instruction that needs it
    int64_t values, outputs = 0;
    const char* params;
    bool half;

    Program(const int64_t* numbers, int64_t length, const void* params, bool half)
        : code(numbers, numbers + length), values(numbers[0]), params((const char*)params), half(half) {
        for (int64_t at = 1; at < length; at += code[at]) {
            const int64_t* i = &code[at];
            list.push_back({i[1], i[2], i[3], i + 4, i + 4 + i[3]});
        }
        base.resize(values), last.assign(values, -1);
        for (int64_t v = 0; v < values; v++) base[v] = v;
        for (const Instruction& i : list)
            if (i.op == ROWS || i.op == MAP) base[i.result] = base[i.sources[0]];
        for (int64_t n = 0; n < (int64_t)list.size(); n++) {
            const Instruction& i = list[n];
            outputs += i.op == OUTPUT ? 1 : i.op == GREEDY ? 2 : 0;
            for (int64_t s = 0; s < (i.op == MAP ? 1 : i.count); s++) last[base[i.sources[s]]] = n;
        }
    }

    // Sizes of all values for an input (N, C, H, W).
    std::vector<Shape> shapes(const int64_t* input) const {
        std::vector<Shape> of(values);
        for (const Instruction& i : list) {
            Shape x = i.count ? of[i.sources[0]] : Shape{input[0], input[2], input[3], input[1]};
            Shape made = result(i, x, of);
            if (made.n < 1 || made.h < 1 || made.w < 1 || made.c < 1) throw std::runtime_error("the input is too small");
            if (i.result >= 0) of[i.result] = made;
        }
        return of;
    }

    Shape result(const Instruction& i, Shape x, const std::vector<Shape>& of) const {
        switch (i.op) {
            case CONVS: return convolved(i, x, of);
            case MEAN: return {x.n, 1, 1, x.c};
            case BINARY: {
                Shape b = of[i.sources[1]];
                bool same = b.h == x.h && b.w == x.w, single = b.h * b.w == 1;
                if (b.n != x.n || b.c != x.c || !(same || single)) throw std::runtime_error("sizes do not match");
                return x;
            }
            case CONCAT: {
                Shape to = {x.n, x.h * i.args[0], x.w * i.args[0], 0};
                for (int64_t s = 0; s < i.count; s++) {
                    Shape m = of[i.sources[s]];
                    if (m.h * i.args[s] != to.h || m.w * i.args[s] != to.w) throw std::runtime_error("sizes do not match");
                    to.c += m.c;
                }
                return to;
            }
            case ENLARGE: {
                Shape b = of[i.sources[1]];
                if (b.h * i.args[0] != x.h || b.w * i.args[0] != x.w) throw std::runtime_error("sizes do not match");
                return x;
            }
            case POOLING: return window(i).of(x);
            case SHUFFLE: return {x.n, x.h * i.args[0], x.w * i.args[0], x.c / (i.args[0] * i.args[0])};
            case ATTENTION: return {x.n, x.h, x.w, x.c / 3};
            case ROWS: return {x.n, 1, x.h * x.w, x.c};
            case MAP: return {x.n, of[i.sources[1]].h, of[i.sources[1]].w, x.c};
            default: return x;
        }
    }

    static Window window(const Instruction& i) {
        return {i.args[1], i.args[2], i.args[3], i.args[4], i.args[5], i.args[6]};
    }

    Shape convolved(const Instruction& i, Shape x, const std::vector<Shape>& of) const {
        const int64_t* plan = i.args + 1;
        const Layer* layers = (const Layer*)(plan + 2);
        if (layers->in != x.c) throw std::runtime_error("the channels do not match");
        Shape y = x;
        for (int64_t l = 0; l < plan[1]; l++) {
            const Layer& layer = layers[l];
            if (y.h + layer.top + layer.bottom < layer.kh || y.w + layer.left + layer.right < layer.kw)
                throw std::runtime_error("the input is too small");
            y = {x.n, layer.out_height(y.h), layer.out_width(y.w), layer.out};
            if (plan[0] & HAS_OTHER && (layer.added == OTHER || layer.added == DOUBLED)) {
                Shape b = of[i.sources[1]];
                int64_t f = layer.added == DOUBLED ? 2 : 1;
                if (b.h * f != y.h || b.w * f != y.w || b.c != y.c) throw std::runtime_error("sizes do not match");
            }
        }
        if (layers->kind == TRANSPOSED) y = {x.n, 2 * x.h, 2 * x.w, layers->out};
        return y;
    }

    // Where each value lies in the arena: the free place that fits best when it is made; returns the arena's size.
    int64_t places(const std::vector<Shape>& shapes, std::vector<int64_t>& at) const {
        struct Piece {
            int64_t begin, end, value;
        };
        std::vector<Piece> used;  // by place
        int64_t most = 0, item = half ? 2 : 4;
        at.assign(values, -1);
        for (int64_t n = 0; n < (int64_t)list.size(); n++) {
            const Instruction& i = list[n];
            if (i.result >= 0 && base[i.result] == i.result) {
                int64_t size = (shapes[i.result].size() * item + 2 * ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
                int64_t best = -1, least = INT64_MAX, from = 0;
                size_t where = 0;
                for (size_t p = 0; p <= used.size(); p++) {
                    int64_t until = p < used.size() ? used[p].begin : INT64_MAX;
                    int64_t room = until - from;
                    if (room >= size && room < least) best = from, least = room, where = p;
                    if (p < used.size()) from = used[p].end;
                }
                if (best < 0) best = from, where = used.size();
                used.insert(used.begin() + where, {best, best + size, i.result});
                at[i.result] = best, most = std::max(most, best + size);
            } else if (i.result >= 0) {
                at[i.result] = at[base[i.result]];
            }
            for (size_t p = used.size(); p-- > 0;)
                if (last[used[p].value] <= n) used.erase(used.begin() + p);
        }
        return most;
    }

    template <class T>
    void run(const void* input, const int64_t* strides, const int64_t* shape, void* const* results) const {
        static thread_local Arena arena;
        std::vector<Shape> shapes = this->shapes(shape);
        std::vector<int64_t> at;
        char* memory = arena.of(places(shapes, at));
        auto value = [&](int64_t v) { return (T*)(memory + at[v]); };
        int64_t done = 0;
        for (const Instruction& i : list) {
            Shape x = i.count ? shapes[i.sources[0]] : Shape{};
            const T* from = i.count ? value(i.sources[0]) : nullptr;
            T* to = i.result >= 0 ? value(i.result) : nullptr;
            if (i.op == INPUT)
                read<T>((const float*)input, strides, shapes[i.result], to);
            else if (i.op == OUTPUT)
                write<T>(from, x, i.args[0], (float*)results[done++]);
            else if (i.op == GREEDY) {
                greedy<T>(from, x.pixels(), *(const Layer*)i.args, params, (int64_t*)results[done], (float*)results[done + 1]);
                done += 2;
            } else if (i.op == CONVS)
                convolve<T>(i, x, value, to);
            else if (i.op == CONCAT) {
                std::vector<const T*> maps;
                std::vector<int64_t> channels;
                for (int64_t s = 0; s < i.count; s++)
                    maps.push_back(value(i.sources[s])), channels.push_back(shapes[i.sources[s]].c);
                concat<T>(maps.data(), channels.data(), i.args, i.count, shapes[i.result], to);
            } else
                operate<T>(i, x, shapes, from, i.count > 1 ? value(i.sources[1]) : nullptr, to);
        }
        if (arena.size > KEPT_BYTES) arena.drop();
    }

    template <class T, class Value>
    void convolve(const Instruction& i, Shape x, Value value, T* to) const {
        const int64_t* plan = i.args + 1;
        int64_t shape[] = {x.n, x.c, x.h, x.w};
        const T* other = plan[0] & HAS_OTHER ? value(i.sources[1]) : nullptr;
        const T* gates = plan[0] & HAS_GATES ? value(i.sources[i.count - 1]) : nullptr;
        ptocr::run<T>(value(i.sources[0]), shape, plan, to, Inputs<T>{other, gates, params + i.args[0]});
    }

    template <class T>
    void operate(const Instruction& i, Shape x, const std::vector<Shape>& shapes, const T* a, const T* b, T* y) const {
        switch (i.op) {
            case MEAN: return mean<T>(a, x, y);
            case UNARY: return unary<T>(i.args[0], number(i.args[1]), number(i.args[2]), a, y, x.size());
            case BINARY: return binary<T>(i.args[0], a, x, b, shapes[i.sources[1]].pixels() != x.pixels(), y);
            case ENLARGE: return add_enlarged<T>(a, x, b, i.args[0], y);
            case POOLING: return pool<T>(i.args[0], window(i), a, x, shapes[i.result], y);
            case SHUFFLE: return shuffle<T>(a, x, i.args[0], y);
            case NORM:
                return layer_norm<T>(a, x.pixels(), x.c, (const float*)(params + i.args[0]),
                                     (const float*)(params + i.args[1]), number(i.args[2]), y);
            case ATTENTION: return attention<T>(a, x.n * x.h, x.w, x.c / 3, i.args[0], y);
            case SOFTMAX: return softmax<T>(a, x.pixels(), x.c, y);
            default: return;  // ROWS, MAP: another view of the same memory
        }
    }

    // The caller's picture in any layout (strides of N, C, H, W in numbers) -> (N, H, W, C).
    template <class T>
    static void read(const float* x, const int64_t* strides, Shape to, T* y) {
        in_blocks(to.n * to.h, to.w * to.c, [&](int64_t begin, int64_t end) {
            for (int64_t row = begin; row < end; row++) {
                const float* from = x + row / to.h * strides[0] + row % to.h * strides[2];
                T* at = y + row * to.w * to.c;
                if (to.c == 3) {
                    const float *r = from, *g = from + strides[1], *b = g + strides[1];
                    for (int64_t p = 0; p < to.w; p++, at += 3) {
                        int64_t s = p * strides[3];
                        at[0] = rounded<T>(r[s]), at[1] = rounded<T>(g[s]), at[2] = rounded<T>(b[s]);
                    }
                } else
                    for (int64_t p = 0; p < to.w; p++)
                        for (int64_t c = 0; c < to.c; c++)
                            *at++ = rounded<T>(from[p * strides[3] + c * strides[1]]);
            }
        });
    }

    // (N, H, W, C) -> float32, as it is, or as (N, C, H, W) if `planes`.
    template <class T>
    static void write(const T* x, Shape from, bool planes, float* y) {
        int64_t inside = from.h * from.w;
        if (!planes || from.c == 1 || inside == 1) {
            in_blocks(from.size(), 1, [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; i++) y[i] = value_of(x[i]);
            });
            return;
        }
        each(from.n * from.c, [&](int64_t i) {
            const T* at = x + i / from.c * inside * from.c + i % from.c;
            for (int64_t p = 0; p < inside; p++) y[i * inside + p] = value_of(at[p * from.c]);
        });
    }
};

// body(); 0, or 1 and what was thrown in `message`.
template <class Body>
int guarded(char* message, int64_t room, Body body) {
    try {
        body();
        return 0;
    } catch (const std::bad_alloc&) {
        std::snprintf(message, room, "not enough memory for an input of this size");
    } catch (const std::exception& error) {
        std::snprintf(message, room, "%s", error.what());
    }
    return 1;
}

}  // namespace ptocr

#if defined(_WIN32)
#define PTOCR_PUBLIC __declspec(dllexport)
#else
#define PTOCR_PUBLIC __attribute__((visibility("default")))
#endif

extern "C" {

// A program from its numbers; `params` must outlive it.
PTOCR_PUBLIC void* ptocr_program(const int64_t* code, int64_t length, const void* params, int half) {
    return new ptocr::Program(code, length, params, half);
}

PTOCR_PUBLIC void ptocr_free(void* program) { delete (ptocr::Program*)program; }

// N, H, W, C of each output for an input (N, C, H, W).
PTOCR_PUBLIC int ptocr_shapes(const void* program, const int64_t* input, int64_t* sizes, char* message, int64_t room) {
    using namespace ptocr;
    const Program& p = *(const Program*)program;
    return guarded(message, room, [&] {
        std::vector<Shape> shapes = p.shapes(input);
        for (const Instruction& i : p.list) {
            if (i.op != OUTPUT && i.op != GREEDY) continue;
            Shape s = shapes[i.sources[0]];
            int64_t four[] = {s.n, s.h, s.w, s.c};
            std::memcpy(sizes, four, sizeof four), sizes += 4;
        }
    });
}

// Run a program on at most so many threads. strides: of N, C, H, W, in numbers.
PTOCR_PUBLIC int ptocr_run(const void* program, const float* input, const int64_t* strides, const int64_t* shape,
                           void* const* results, int threads, char* message, int64_t room) {
    using namespace ptocr;
    const Program& p = *(const Program*)program;
    WithoutDenormals scope;
    Pool::width() = threads;
    return guarded(message, room, [&] {
        if (!p.half) return p.run<float>(input, strides, shape, results);
#if defined(__AVX512BF16__)
        p.run<bf16>(input, strides, shape, results);
#else
        throw std::runtime_error("no kernels for bfloat16");
#endif
    });
}
}
