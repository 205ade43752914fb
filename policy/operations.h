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
};

// `type`: what the linear layers of the pass compute in; another type than the weight's casts it, once for the pass.
Weight Prepare(const at::Tensor& weight, at::ScalarType type);

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
  at::Tensor cos;  // [context, head_size / 2] float32
  at::Tensor sin;
};
Rotary MakeRotary(const ModelConfig& config, at::Device device);

// Causal attention within each sequence of the chunk, rotary positions included.
// qkv: [tokens, (heads + 2 kv_heads) * head_size] -> [tokens, heads * head_size].
at::Tensor Attention(const at::Tensor& qkv, const ModelConfig& config, const Rotary& rotary, const Chunk& chunk);

// logits: [rows, vocabulary]; targets: [rows] int64. The entropy carries no gradient.
TokenScores LogProbs(const at::Tensor& logits, const at::Tensor& targets);

// Whether x goes through the kernels of our own.
bool Fused(const at::Tensor& x);

}  // namespace tandem::operations
