// Chains of convolutions as torch's compiled packages call them.

#include "convs.h"

extern "C" {

// x, other, out: maps (N, H, W, C) in memory; shape: N, C, H, W of x; gates: (N, C) or null; half: bfloat16.
void ptocr_convs(const void* x, const int64_t* shape, const void* other, const void* gates, const void* params,
                 const int64_t* plan, int half, void* out) {
    using namespace ptocr;
    if (!half) {
        Inputs<float> inputs{(const float*)other, (const float*)gates, (const char*)params};
        return run<float>((const float*)x, shape, plan, (float*)out, inputs);
    }
#if defined(__AVX512BF16__)
    Inputs<bf16> inputs{(const bf16*)other, (const bf16*)gates, (const char*)params};
    run<bf16>((const bf16*)x, shape, plan, (bf16*)out, inputs);
#else
    std::abort();  // ptocr/runtime/cpu/library.py says that there are none here
#endif
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
    using namespace ptocr;
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
    void* other = plan[0] & HAS_OTHER ? values(extra[0]) : nullptr;
    void* gates = plan[0] & HAS_GATES ? values(extra[extras - 1]) : nullptr;
    if (!in || (plan[0] & HAS_OTHER && !other) || (plan[0] & HAS_GATES && !gates)) return 1;
    const Layer* layers = (const Layer*)(plan + 2);
    int64_t height = shape[2], width = shape[3], channels = layers[plan[1] - 1].out;
    for (const Layer* layer = layers; layer < layers + plan[1]; layer++)
        height = layer->out_height(height), width = layer->out_width(width);
    if (layers->kind == TRANSPOSED) height = 2 * shape[2], width = 2 * shape[3];
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
