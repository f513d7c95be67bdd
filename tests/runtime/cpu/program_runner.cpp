// Runs a program on kernels of another kind of machine, under an emulator: program_runner PROGRAM RESULTS.
//
// PROGRAM, int64 numbers first: length of the code, bytes of the parameters, outputs, whether they are greedy CTC's, threads;
// the input's shape (N, C, H, W); the code; then the parameters and the input in float32. RESULTS: the outputs' bytes.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

extern "C" {
void* ptocr_program(const int64_t*, int64_t, const void*, int);
void ptocr_free(void*);
int ptocr_shapes(const void*, const int64_t*, int64_t*, char*, int64_t);
int ptocr_run(const void*, const float*, const int64_t*, const int64_t*, void* const*, int, char*, int64_t);
}

template <class T>
std::vector<T> taken(FILE* file, int64_t count) {
    std::vector<T> values(count);
    if ((int64_t)std::fread(values.data(), sizeof(T), count, file) != count) std::exit(2);
    return values;
}

int main(int count, char** names) {
    FILE *file = count == 3 ? std::fopen(names[1], "rb") : nullptr, *to = file ? std::fopen(names[2], "wb") : nullptr;
    if (!to) return 2;
    auto head = taken<int64_t>(file, 5), shape = taken<int64_t>(file, 4), code = taken<int64_t>(file, head[0]);
    auto bytes = taken<char>(file, head[1]);
    std::vector<char> room(bytes.size() + 64);  // parameters begin at multiples of 64
    char* params = room.data() + (64 - (uintptr_t)room.data() % 64) % 64;
    std::copy(bytes.begin(), bytes.end(), params);
    auto x = taken<float>(file, shape[0] * shape[1] * shape[2] * shape[3]);
    int64_t plane = shape[2] * shape[3], strides[] = {shape[1] * plane, plane, shape[3], 1};

    char message[256] = "";
    std::vector<int64_t> sizes(4 * head[2]);
    void* program = ptocr_program(code.data(), head[0], params, 0);
    int failed = ptocr_shapes(program, shape.data(), sizes.data(), message, sizeof message);
    std::vector<std::vector<char>> results;
    for (int64_t i = 0; !failed && i < head[2]; i++) {
        const int64_t* size = &sizes[head[3] ? 0 : 4 * i];
        int64_t numbers = size[0] * size[1] * size[2];
        results.emplace_back(head[3] ? numbers * (i ? sizeof(float) : sizeof(int64_t)) : numbers * size[3] * sizeof(float));
    }
    std::vector<void*> places;
    for (auto& result : results) places.push_back(result.data());
    failed = failed || ptocr_run(program, x.data(), strides, shape.data(), places.data(), (int)head[4], message, sizeof message);
    ptocr_free(program);
    if (failed) return std::fprintf(stderr, "%s\n", message), 1;
    for (auto& result : results) std::fwrite(result.data(), 1, result.size(), to);
    return std::fclose(to) != 0;
}
