// Rotary position embedding (Su et al., 2021), with halves as in Hugging Face's Llama and Qwen: dimension i of a head
// is turned together with dimension i + head_size / 2.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "kernels/bfloat16.h"
#include "kernels/cuda/stream.h"

namespace tandem::kernels {

// Turns x [heads, head_size] in place. cosine, sine: [head_size / 2], of the angles of x's position.
void Rotary(float* x, int64_t heads, int64_t head_size, const float* cosine, const float* sine);

namespace cuda {
// Turns x [rows, heads, head_size] on the device in place, queued on `stream`. Row r stands at positions[r], whose
// angles are that row of cosine and sine, [.., head_size / 2]. Errors: as RmsNorm.
absl::Status Rotary(float* x, int64_t rows, int64_t heads, int64_t head_size, const int32_t* positions,
                    const float* cosine, const float* sine, Stream stream);
absl::Status Rotary(BFloat16* x, int64_t rows, int64_t heads, int64_t head_size, const int32_t* positions,
                    const float* cosine, const float* sine, Stream stream);
}  // namespace cuda

}  // namespace tandem::kernels
