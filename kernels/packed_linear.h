// Linear layers over packed weights of any of three types, for inference. The sums of bf16 and int8 products are taken
// by the processor's own dot products where it has them: AMX tiles, AVX-512 BF16 and VNNI.
//
// Batch invariance as in linear.h, whatever the type: a row gives the same bits in any batch.
#pragma once

#include <cstdint>

namespace tandem::kernels {

enum class WeightType {
  kFloat32,
  kBf16,  // weights and inputs rounded to bfloat16 (to nearest, ties to even), sums in float32
  kInt8,  // weights symmetrically to 8 bits with one scale an output, inputs with one scale a row; sums exact in int32
};

// A layer's packed weights; owned by whoever gave the memory.
struct PackedLinear {
  WeightType type = WeightType::kFloat32;
  int64_t out = 0, in = 0;  // of a gate-up layer, `out` is the intermediate size
  const void* data = nullptr;
};

// To bfloat16, to nearest, ties to even; not-a-number stays one.
void RoundToBf16(const float* x, int64_t size, uint16_t* to);

// Bytes of the packed weights of a layer.
int64_t PackedBytes(WeightType type, int64_t out, int64_t in);
int64_t PackedGateUpBytes(WeightType type, int64_t intermediate, int64_t in);

// weight: [out, in]; packed: [PackedBytes(type, out, in)], aligned to 64.
PackedLinear Pack(WeightType type, const float* weight, int64_t out, int64_t in, void* packed);
// gate, up: [intermediate, in]; packed: [PackedGateUpBytes(type, intermediate, in)], aligned to 64.
PackedLinear PackGateUp(WeightType type, const float* gate, const float* up, int64_t intermediate, int64_t in,
                        void* packed);

// Bytes of scratch, aligned to 64, that a layer needs for `rows` rows of inputs.
int64_t LinearScratch(WeightType type, int64_t rows, int64_t in);

// y[rows, out] = x[rows, in] W^T + bias. bias: [out], or null. y must not overlap x.
void Linear(const PackedLinear& layer, const float* bias, const float* x, int64_t rows, void* scratch, float* y);

// y[rows, out] += x[rows, in] W^T + bias.
void LinearAdd(const PackedLinear& layer, const float* bias, const float* x, int64_t rows, void* scratch, float* y);

// y[rows, intermediate] = silu(x G^T + g) * (x U^T + u). bias: of PackGateUpBias, or null.
void LinearSwiGlu(const PackedLinear& layer, const float* bias, const float* x, int64_t rows, void* scratch, float* y);

}  // namespace tandem::kernels
