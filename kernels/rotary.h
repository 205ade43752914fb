// Rotary position embedding (Su et al., 2021), with halves as in Hugging Face's Llama and Qwen: dimension i of a head
// is turned together with dimension i + head_size / 2.
#pragma once

#include <cstdint>

namespace tandem::kernels {

// Angles of positions 0 .. context-1: cosine and sine [context, head_size / 2] of position * theta^(-2 i / head_size).
void RotaryTable(int64_t context, int64_t head_size, double theta, float* cosine, float* sine);

// Turns x [heads, head_size] in place. cosine, sine: [head_size / 2], the table's row of x's position.
void Rotary(float* x, int64_t heads, int64_t head_size, const float* cosine, const float* sine);

}  // namespace tandem::kernels
