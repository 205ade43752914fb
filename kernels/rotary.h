// Rotary position embedding (Su et al., 2021), with halves as in Hugging Face's Llama and Qwen: dimension i of a head
// is turned together with dimension i + head_size / 2.
#pragma once

#include <cstdint>

namespace tandem::kernels {

// Turns x [heads, head_size] in place. cosine, sine: [head_size / 2], of the angles of x's position.
void Rotary(float* x, int64_t heads, int64_t head_size, const float* cosine, const float* sine);

}  // namespace tandem::kernels
