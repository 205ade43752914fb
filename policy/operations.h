// The differentiable operations of a transformer. Each takes float32 tensors on the CPU through kernels of our own,
// with a backward pass written by hand, and anything else (a GPU, bf16, double) through ATen's composite operations.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

#include "policy/model.h"
#include "policy/packing.h"

namespace tandem::operations {

// A linear layer's weight, prepared for one pass.
struct Weight {
  at::Tensor weight;    // [out, in]
  at::Tensor forward;   // packed for y = x W^T; undefined off the CPU
  at::Tensor backward;  // packed for dx = dy W; undefined when no gradient is wanted
  at::Tensor bias;      // [out]; undefined: none
};

// `type`: what the linear layers of the pass compute in; another type than the weight's casts it, once for the pass.
// Where no gradient is wanted, the memory of `into` is used again if it has the size.
void Prepare(const at::Tensor& weight, const at::Tensor& bias, at::ScalarType type, Weight* into);

at::Tensor Linear(const at::Tensor& x, const Weight& weight);  // x [rows, in] -> [rows, out]

// table[index]: rows may be taken more than once. The gradient is a sum over index, in its order.
at::Tensor TakeRows(const at::Tensor& table, const at::Tensor& index);

// The norm of each row of x, in `type`.
at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon, at::ScalarType type);
// (x + delta, its norm)
std::pair<at::Tensor, at::Tensor> AddRmsNorm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight,
                                             double epsilon, at::ScalarType type);

at::Tensor SwiGlu(const at::Tensor& gate_up);  // [rows, 2 * width] -> silu(first half) * second half, [rows, width]

struct Rotary {
  at::Tensor cos;  // [positions, head_size / 2] float32
  at::Tensor sin;
};
// Of positions 0 .. positions-1 at least.
Rotary MakeRotary(const ModelConfig& config, int64_t positions, at::Device device);

// RMSNorm of each head's query and key, as Qwen3 has it; values stay. q_norm, k_norm: [head_size].
// qkv: [tokens, (heads + 2 kv_heads) * head_size].
at::Tensor QueryKeyNorm(const at::Tensor& qkv, const ModelConfig& config, const at::Tensor& q_norm,
                        const at::Tensor& k_norm);

// Causal attention within each sequence of the chunk, rotary positions included.
// qkv: [tokens, (heads + 2 kv_heads) * head_size] -> [tokens, heads * head_size].
at::Tensor Attention(const at::Tensor& qkv, const ModelConfig& config, const Rotary& rotary, const Chunk& chunk);

// Log-probabilities of the targets under softmax(y W^T), in float32 at least. y: [rows, hidden]; head: [vocabulary,
// hidden], without bias; targets: [rows] int64. Computed in blocks of rows, forward and again backward, so that
// [rows, vocabulary] is never held; `block_rows` 0: as many as fit 16 MB. The entropy carries no gradient.
TokenScores HeadLogProbs(const at::Tensor& y, const Weight& head, const at::Tensor& targets, int64_t block_rows = 0);

// Whether x goes through the kernels of our own.
bool Fused(const at::Tensor& x);

}  // namespace tandem::operations
