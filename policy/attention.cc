#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "policy/cpu_kernels.h"
#include "policy/operations.h"
#include "policy/rope.h"

namespace tandem::operations {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

// Calls f(sequence's first token, length) for every sequence, over threads.
template <typename F>
void EachSequence(const std::vector<int64_t>& lengths, const F& f) {
  std::vector<int64_t> starts = {0};
  for (const int64_t length : lengths) starts.push_back(starts.back() + length);
  at::parallel_for(0, static_cast<int64_t>(lengths.size()), 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(starts[i], lengths[i]);
  });
}

cpu::AttentionShape Shape(int64_t heads, int64_t kv_heads, int64_t head_size, const at::Tensor& cos,
                          const at::Tensor& sin) {
  return {heads, kv_heads, head_size, cos.const_data_ptr<float>(), sin.const_data_ptr<float>()};
}

struct AttentionFunction : Function<AttentionFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& qkv, const at::Tensor& cos, const at::Tensor& sin,
                            int64_t heads, int64_t kv_heads, int64_t head_size, std::vector<int64_t> lengths) {
    const cpu::AttentionShape shape = Shape(heads, kv_heads, head_size, cos, sin);
    at::Tensor out = at::empty({qkv.size(0), heads * head_size}, qkv.options());
    at::Tensor lse = at::empty({qkv.size(0), heads}, qkv.options());
    const float* from = qkv.const_data_ptr<float>();
    float *to = out.mutable_data_ptr<float>(), *sums = lse.mutable_data_ptr<float>();
    EachSequence(lengths, [&](int64_t first, int64_t length) {
      cpu::Attention(shape, from + first * shape.width(), length, to + first * heads * head_size, sums + first * heads);
    });
    ctx->save_for_backward({qkv, cos, sin, out, lse});
    ctx->saved_data["heads"] = heads;
    ctx->saved_data["kv_heads"] = kv_heads;
    ctx->saved_data["head_size"] = head_size;
    ctx->saved_data["lengths"] = lengths;
    return out;
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list grads) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &qkv = saved[0], dout = grads[0].contiguous();
    const int64_t heads = ctx->saved_data["heads"].toInt(), head_size = ctx->saved_data["head_size"].toInt();
    const auto shape = Shape(heads, ctx->saved_data["kv_heads"].toInt(), head_size, saved[1], saved[2]);
    at::Tensor dqkv = at::empty_like(qkv);
    const float *from = qkv.const_data_ptr<float>(), *g = dout.const_data_ptr<float>();
    const float *out = saved[3].const_data_ptr<float>(), *lse = saved[4].const_data_ptr<float>();
    float* to = dqkv.mutable_data_ptr<float>();
    EachSequence(ctx->saved_data["lengths"].toIntVector(), [&](int64_t first, int64_t length) {
      const int64_t at = first * heads * head_size;
      cpu::AttentionBackward(shape, g + at, out + at, from + first * shape.width(), lse + first * heads, length,
                             to + first * shape.width());
    });
    return {dqkv, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

// Packed rows to padded ones, and back: gathers in both directions, forward and backward. A place without a token
// repeats token 0; the causal mask keeps it from the tokens before it, and its own output is not taken.
struct PadFunction : Function<PadFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& pad, const at::Tensor& unpad) {
    ctx->save_for_backward({unpad});
    return x.index_select(0, pad);
  }
  static tensor_list backward(AutogradContext* ctx, tensor_list grads) {
    return {grads[0].index_select(0, ctx->get_saved_variables()[0]), at::Tensor(), at::Tensor()};
  }
};

struct UnpadFunction : Function<UnpadFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& unpad) {
    ctx->save_for_backward({unpad});
    ctx->saved_data["places"] = x.size(0);
    return x.index_select(0, unpad);
  }
  static tensor_list backward(AutogradContext* ctx, tensor_list grads) {
    at::Tensor dx = at::zeros({ctx->saved_data["places"].toInt(), grads[0].size(1)}, grads[0].options());
    return {dx.index_copy_(0, ctx->get_saved_variables()[0], grads[0]), at::Tensor()};
  }
};

// x: [tokens, heads, head_size]; cos, sin: [tokens, 1, head_size / 2]. In float32 at least, as the engines turn too.
at::Tensor Turn(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  const at::ScalarType type = at::promote_types(x.scalar_type(), at::kFloat);
  const auto halves = x.to(type).chunk(2, -1);
  const at::Tensor c = cos.to(type), s = sin.to(type);
  return at::cat({halves[0] * c - halves[1] * s, halves[1] * c + halves[0] * s}, -1).to(x.scalar_type());
}

at::Tensor CompositeAttention(const at::Tensor& qkv, const ModelConfig& config, const Rotary& rotary,
                              const Chunk& chunk) {
  const int64_t size = config.head_size(), tokens = qkv.size(0), all = config.heads + 2 * config.kv_heads;
  const int64_t sequences = static_cast<int64_t>(chunk.lengths.size());
  const at::Tensor cos = rotary.cos.index_select(0, chunk.positions).unsqueeze(1);
  const at::Tensor sin = rotary.sin.index_select(0, chunk.positions).unsqueeze(1);
  const auto parts =
      qkv.view({tokens, all, size}).split_with_sizes({config.heads + config.kv_heads, config.kv_heads}, 1);
  const at::Tensor turned = at::cat({Turn(parts[0], cos, sin), parts[1]}, 1).view({tokens, all * size});
  const at::Tensor padded = PadFunction::apply(turned, chunk.pad, chunk.unpad);
  const auto heads = padded.view({sequences, chunk.longest, all, size})
                         .transpose(1, 2)
                         .split_with_sizes({config.heads, config.kv_heads, config.kv_heads}, 1);
  const at::Tensor out = at::scaled_dot_product_attention(heads[0], heads[1], heads[2], /*attn_mask=*/{},
                                                          /*dropout_p=*/0.0, /*is_causal=*/true, /*scale=*/{},
                                                          /*enable_gqa=*/config.heads != config.kv_heads);
  const at::Tensor places = out.transpose(1, 2).reshape({sequences * chunk.longest, config.heads * size});
  return UnpadFunction::apply(places, chunk.unpad);
}

}  // namespace

Rotary MakeRotary(const ModelConfig& config, int64_t positions, at::Device device) {
  RopeTable table(config);
  table.Cover(positions);
  const auto tensor = [&](const float* values) {
    return at::from_blob(const_cast<float*>(values), {table.positions(), table.half()}, at::kFloat).clone().to(device);
  };
  return {tensor(table.cosine(0)), tensor(table.sine(0))};
}

at::Tensor QueryKeyNorm(const at::Tensor& qkv, const ModelConfig& config, const at::Tensor& q_norm,
                        const at::Tensor& k_norm) {
  const int64_t tokens = qkv.size(0), size = config.head_size();
  const auto parts = qkv.split_with_sizes({config.heads * size, config.kv_heads * size, config.kv_heads * size}, 1);
  const auto normed = [&](const at::Tensor& part, const at::Tensor& weight) {
    return RmsNorm(part.reshape({-1, size}), weight, config.norm_epsilon, qkv.scalar_type()).view({tokens, -1});
  };
  return at::cat({normed(parts[0], q_norm), normed(parts[1], k_norm), parts[2]}, 1);
}

at::Tensor Attention(const at::Tensor& qkv, const ModelConfig& config, const Rotary& rotary, const Chunk& chunk) {
  if (!Fused(qkv)) return CompositeAttention(qkv, config, rotary, chunk);
  const std::vector<int64_t> lengths(chunk.lengths.begin(), chunk.lengths.end());
  return AttentionFunction::apply(qkv.contiguous(), rotary.cos, rotary.sin, config.heads, config.kv_heads,
                                  config.head_size(), lengths);
}

}  // namespace tandem::operations
