#include "tests/bench/generation_plain_aten.h"

#include <ATen/ATen.h>

namespace tandem {
namespace {

struct Layer {
  at::Tensor attention_norm, qkv, o, mlp_norm, gate_up, down;
};

// x [..., head_size] turned by angles whose cosine and sine are [head_size], as in Hugging Face.
at::Tensor Rotate(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine) {
  const auto halves = x.chunk(2, -1);
  return x * cosine + at::cat({-halves[1], halves[0]}, -1) * sine;
}

}  // namespace

struct PlainAtenDecoding::State {
  ModelConfig config;
  at::Tensor embedding, final_norm, head;
  std::vector<Layer> layers;
  at::Tensor cosine, sine;               // [context, head_size]
  std::vector<at::Tensor> keys, values;  // [batch, kv_heads, context, head_size] of each layer

  // logits [batch, vocabulary] after ids [batch] at `position`.
  at::Tensor Forward(const at::Tensor& ids, int64_t position) {
    const ModelConfig& c = config;
    const int64_t batch = ids.size(0), size = c.head_size();
    at::Tensor x = at::embedding(embedding, ids);
    for (int64_t n = 0; n < c.layers; ++n) {
      const Layer& layer = layers[n];
      const at::Tensor qkv = at::linear(at::rms_norm(x, {c.hidden}, layer.attention_norm, c.norm_epsilon), layer.qkv)
                                 .view({batch, c.heads + 2 * c.kv_heads, size});
      const at::Tensor qk = Rotate(qkv.narrow(1, 0, c.heads + c.kv_heads), cosine[position], sine[position]);
      keys[n].select(2, position).copy_(qk.narrow(1, c.heads, c.kv_heads));
      values[n].select(2, position).copy_(qkv.narrow(1, c.heads + c.kv_heads, c.kv_heads));
      const at::Tensor attended = at::scaled_dot_product_attention(
          qk.narrow(1, 0, c.heads).unsqueeze(2), keys[n].narrow(2, 0, position + 1),
          values[n].narrow(2, 0, position + 1), {}, 0.0, false, std::nullopt, c.heads != c.kv_heads);
      x = x + at::linear(attended.reshape({batch, c.heads * size}), layer.o);
      const auto gate_up =
          at::linear(at::rms_norm(x, {c.hidden}, layer.mlp_norm, c.norm_epsilon), layer.gate_up).chunk(2, -1);
      x = x + at::linear(at::silu(gate_up[0]) * gate_up[1], layer.down);
    }
    return at::linear(at::rms_norm(x, {c.hidden}, final_norm, c.norm_epsilon), head);
  }
};

PlainAtenDecoding::PlainAtenDecoding(const ModelConfig& c, std::span<const float> weights, int64_t batch)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.config = c;
  const at::Tensor flat = at::from_blob(const_cast<float*>(weights.data()), {ParameterCount(c)}, at::kFloat).clone();
  const auto layout = ParameterLayout(c);
  size_t next = 0;
  const auto take = [&] {
    const Parameter& parameter = layout[next++];
    return flat.narrow(0, parameter.offset, parameter.size()).view(parameter.shape).clone();
  };
  s.embedding = take();
  for (int64_t n = 0; n < c.layers; ++n) {
    Layer layer;
    layer.attention_norm = take();
    const at::Tensor q = take(), k = take(), v = take();
    layer.qkv = at::cat({q, k, v});
    layer.o = take();
    layer.mlp_norm = take();
    const at::Tensor gate = take(), up = take();
    layer.gate_up = at::cat({gate, up});
    layer.down = take();
    s.layers.push_back(layer);
    s.keys.push_back(at::zeros({batch, c.kv_heads, c.context, c.head_size()}));
    s.values.push_back(at::zeros({batch, c.kv_heads, c.context, c.head_size()}));
  }
  s.final_norm = take();
  s.head = c.tied_head ? s.embedding : take();
  const at::Tensor frequencies = at::pow(at::scalar_tensor(c.rope_theta, at::kDouble),
                                         -at::arange(0, c.head_size(), 2, at::kDouble) / c.head_size());
  const at::Tensor angles = at::outer(at::arange(c.context, at::kDouble), frequencies).repeat({1, 2});
  s.cosine = angles.cos().to(at::kFloat);
  s.sine = angles.sin().to(at::kFloat);
}

PlainAtenDecoding::~PlainAtenDecoding() = default;

int64_t PlainAtenDecoding::Generate(std::span<const int32_t> first_tokens, int64_t length) {
  const c10::InferenceMode inference;
  at::Tensor ids =
      at::from_blob(const_cast<int32_t*>(first_tokens.data()), {static_cast<int64_t>(first_tokens.size())}, at::kInt)
          .to(at::kLong);
  std::vector<at::Tensor> tokens, logprobs;
  for (int64_t position = 0; position + 1 < length; ++position) {
    const at::Tensor all = at::log_softmax(state_->Forward(ids, position), -1);
    const at::Tensor next = at::multinomial(all.exp(), 1);
    logprobs.push_back(all.gather(1, next));
    ids = next.squeeze(1);
    tokens.push_back(ids);
  }
  return at::stack(tokens).numel();
}

std::vector<float> PlainAtenDecoding::Score(std::span<const int32_t> tokens) {
  const c10::InferenceMode inference;
  const int64_t batch = state_->keys[0].size(0);
  std::vector<float> scores;
  for (size_t position = 0; position + 1 < tokens.size(); ++position) {
    const at::Tensor ids = at::full({batch}, tokens[position], at::kLong);
    const at::Tensor all = at::log_softmax(state_->Forward(ids, static_cast<int64_t>(position)), -1);
    scores.push_back(all[0][tokens[position + 1]].item<float>());
  }
  return scores;
}

}  // namespace tandem
