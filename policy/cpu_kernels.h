// The parts of a training pass that plain ATen is slow at on the CPU, forward and backward: raw pointers and sizes in,
// SIMD by run-time dispatch (Highway), one thread. All arrays are float32, row-major and contiguous. The results do not
// depend on how rows are split over calls, sums over rows excepted.
#pragma once

#include <cstdint>

namespace tandem::cpu {

// h = x + delta; y = h * rstd * weight, with rstd = 1 / sqrt(mean(h^2) + epsilon) of each row. `delta` null: h is x,
// and `h` may be null. x, delta, h, y: [rows, hidden]; weight: [hidden]; rstd: [rows].
void AddRmsNorm(const float* x, const float* delta, const float* weight, float epsilon, int64_t rows, int64_t hidden,
                float* h, float* y, float* rstd);

// dx = dh + the gradient through the norm (`dh` null: the latter alone); dweight [hidden] is added to.
void RmsNormBackward(const float* dy, const float* dh, const float* h, const float* weight, const float* rstd,
                     int64_t rows, int64_t hidden, float* dx, float* dweight);

// y[:, i] = silu(gate_up[:, i]) * gate_up[:, width + i]. gate_up: [rows, 2 * width]; y: [rows, width].
void SwiGlu(const float* gate_up, int64_t rows, int64_t width, float* y);
void SwiGluBackward(const float* dy, const float* gate_up, int64_t rows, int64_t width, float* dgate_up);

// For each row: lse = log(sum(exp(logits))), the log-probability of `target`, and the entropy in nats.
void LogProbs(const float* logits, const int64_t* targets, int64_t rows, int64_t vocabulary, float* logprobs,
              float* entropy, float* lse);
// dlogits = dlogprobs * (onehot(target) - softmax(logits)).
void LogProbsBackward(const float* dlogprobs, const float* logits, const float* lse, const int64_t* targets,
                      int64_t rows, int64_t vocabulary, float* dlogits);

struct AttentionShape {
  int64_t heads, kv_heads, head_size;
  const float* cos;  // [positions, head_size / 2]
  const float* sin;
  int64_t width() const { return (heads + 2 * kv_heads) * head_size; }  // of a row of qkv
};

// Causal attention of one sequence, which starts at position 0, with rotary positions as in Hugging Face's Llama
// (rotate_half). qkv: [length, width()], queries, keys and values before rotation; out: [length, heads * head_size];
// lse: [length, heads], for the backward pass.
void Attention(const AttentionShape& shape, const float* qkv, int64_t length, float* out, float* lse);
// dqkv: [length, width()], with respect to qkv before rotation.
void AttentionBackward(const AttentionShape& shape, const float* dout, const float* out, const float* qkv,
                       const float* lse, int64_t length, float* dqkv);

}  // namespace tandem::cpu
