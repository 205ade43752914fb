// The engine's arithmetic over ATen: for GPUs, and the reference of tests on the CPU. Rows are padded to a batch of
// [sequences, rows of a sequence]; a row's result depends on the others through the rounding of matrix products only.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "base/status.h"
#include "policy/device.h"
#include "policy/operations.h"
#include "policy/torch_status.h"
#include "rollout/engine/decoder.h"

namespace tandem {
namespace {

namespace op = operations;

// One layer's weights, in the type that the linear layers compute in; the norms in float32.
struct LayerTensors {
  at::Tensor attention_norm, qkv, attention_out, mlp_norm, gate_up, down;
  std::optional<at::Tensor> qkv_bias, q_norm, k_norm, attention_out_bias, gate_up_bias, down_bias;
};

// A version's weights; embedding and norm in float32.
struct ModelTensors {
  at::Tensor embedding, final_norm, head;
  std::vector<LayerTensors> layers;
};

// The rows of a Run, on the device.
struct Rows {
  at::Tensor tokens, positions;  // [rows]
  at::Tensor places;             // [rows] where a row's key and value go, in a cache of [pages * kCachePage, ...]
  at::Tensor attended;           // [sequences * longest] the places of each sequence's positions
  at::Tensor padded;             // [rows] the row's place in [sequences * most]
  at::Tensor seen;               // [sequences, 1, most, longest] which positions a row attends to
  at::Tensor cos, sin;           // [rows, 1, head_size / 2]
  int64_t sequences = 0;
  int64_t most = 0;     // rows of one sequence
  int64_t longest = 0;  // positions in use
};

class AtenDecoder final : public Decoder {
 public:
  AtenDecoder(const ModelConfig& config, int64_t pages, at::Device device, at::ScalarType type)
      : config_(config),
        pages_(pages),
        device_(device),
        type_(type),
        rotary_(op::MakeRotary(config, config.context, device)) {
    const auto options = at::TensorOptions().device(device).dtype(type);
    for (int64_t n = 0; n < config.layers; ++n) {
      keys_.push_back(at::zeros({pages * kCachePage, config.kv_heads, config.head_size()}, options));
      values_.push_back(at::zeros_like(keys_.back()));
    }
  }

  const ModelConfig& config() const override { return config_; }
  int64_t pages() const override { return pages_; }

  void Use(int32_t set) override {
    set_ = static_cast<size_t>(set);
    if (sets_.size() <= set_) sets_.resize(set_ + 1);
  }

  absl::Status Load(std::span<const float> weights) override {
    if (static_cast<int64_t>(weights.size()) != ParameterCount(config_)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the weights have ", weights.size(), " numbers; the model has ", ParameterCount(config_)));
    }
    return TorchStatus([&] { Unpack(weights); });
  }

  void Run(std::span<const DecodeRow> rows, std::span<SampledToken> sampled) override {
    if (rows.empty()) return;
    const c10::InferenceMode inference;
    const ModelTensors& model = sets_[set_];
    TANDEM_CHECK(!model.layers.empty());
    const Rows r = Gather(rows);
    std::vector<int64_t> wanted;
    for (size_t i = 0; i < rows.size(); ++i) {
      if (rows[i].sample) wanted.push_back(static_cast<int64_t>(i));
    }
    TANDEM_CHECK(wanted.size() == sampled.size());
    const double epsilon = config_.norm_epsilon;
    at::Tensor x = model.embedding.index_select(0, r.tokens);  // [rows, hidden] float32
    for (size_t n = 0; n < model.layers.size(); ++n) {
      const LayerTensors& layer = model.layers[n];
      at::Tensor qkv = at::linear(op::RmsNorm(x, layer.attention_norm, epsilon, type_), layer.qkv, layer.qkv_bias);
      if (config_.qk_norm) qkv = op::QueryKeyNorm(qkv, config_, *layer.q_norm, *layer.k_norm);
      x = x + at::linear(Attend(qkv, n, r), layer.attention_out, layer.attention_out_bias);
      const at::Tensor y = op::RmsNorm(x, layer.mlp_norm, epsilon, type_);
      x = x + at::linear(op::SwiGlu(at::linear(y, layer.gate_up, layer.gate_up_bias)), layer.down, layer.down_bias);
    }
    if (wanted.empty()) return;
    x = x.index_select(0, OnDevice(wanted));
    const at::Tensor logits = at::linear(op::RmsNorm(x, model.final_norm, epsilon, type_), model.head);
    Sample(logits.to(at::kFloat), rows, wanted, sampled);
  }

  void CopyPage(int32_t from, int32_t to) override {
    const c10::InferenceMode inference;
    for (std::vector<at::Tensor>* cache : {&keys_, &values_}) {
      for (at::Tensor& layer : *cache) {
        layer.narrow(0, to * kCachePage, kCachePage).copy_(layer.narrow(0, from * kCachePage, kCachePage));
      }
    }
  }

 private:
  at::Tensor OnDevice(const std::vector<int64_t>& values) const { return at::tensor(values, at::kLong).to(device_); }

  void Unpack(std::span<const float> weights) {
    const c10::InferenceMode inference;
    const at::Tensor flat =
        at::from_blob(const_cast<float*>(weights.data()), {static_cast<int64_t>(weights.size())}, at::kFloat)
            .clone()
            .to(device_);
    const ModelConfig& c = config_;
    const int64_t q_width = c.heads * c.head_size(), kv_width = c.kv_heads * c.head_size();
    int64_t offset = 0;
    const auto take = [&](int64_t rows, int64_t columns) {
      offset += rows * columns;
      return flat.narrow(0, offset - rows * columns, rows * columns).view({rows, columns});
    };
    const auto vector = [&](int64_t size) { return take(1, size)[0]; };
    const auto norm = [&] { return vector(c.hidden); };
    ModelTensors model;
    model.embedding = take(c.vocabulary, c.hidden);
    for (int64_t n = 0; n < c.layers; ++n) {
      LayerTensors layer;
      layer.attention_norm = norm();
      layer.qkv = take(q_width + 2 * kv_width, c.hidden).to(type_);
      if (c.qkv_bias) layer.qkv_bias = vector(q_width + 2 * kv_width).to(type_);
      if (c.qk_norm) layer.q_norm = vector(c.head_size());
      if (c.qk_norm) layer.k_norm = vector(c.head_size());
      layer.attention_out = take(c.hidden, q_width).to(type_);
      if (c.output_bias) layer.attention_out_bias = vector(c.hidden).to(type_);
      layer.mlp_norm = norm();
      layer.gate_up = take(2 * c.intermediate, c.hidden).to(type_);
      if (c.mlp_bias) layer.gate_up_bias = vector(2 * c.intermediate).to(type_);
      layer.down = take(c.hidden, c.intermediate).to(type_);
      if (c.mlp_bias) layer.down_bias = vector(c.hidden).to(type_);
      model.layers.push_back(std::move(layer));
    }
    model.final_norm = norm();
    model.head = (c.tied_head ? model.embedding : take(c.vocabulary, c.hidden)).to(type_);
    TANDEM_CHECK(offset == flat.size(0));
    sets_[set_] = std::move(model);
  }

  Rows Gather(std::span<const DecodeRow> rows) const {
    Rows r;
    std::vector<int64_t> tokens, positions, places, rows_of, index, sequence_of;
    std::vector<const DecodeRow*> last_of;  // the last row of each sequence
    absl::flat_hash_map<const int32_t*, int64_t> sequences;
    for (const DecodeRow& row : rows) {
      TANDEM_CHECK(row.token >= 0 && row.token < config_.vocabulary);
      TANDEM_CHECK(row.position >= 0 && row.position < config_.context);
      tokens.push_back(row.token);
      positions.push_back(row.position);
      places.push_back(Place(row.pages, row.position));
      const auto [found, added] = sequences.try_emplace(row.pages, static_cast<int64_t>(rows_of.size()));
      if (added) {
        rows_of.push_back(0);
        last_of.push_back(nullptr);
      }
      const auto sequence = static_cast<size_t>(found->second);
      sequence_of.push_back(found->second);
      index.push_back(rows_of[sequence]++);
      last_of[sequence] = &row;
      r.longest = std::max<int64_t>(r.longest, row.position + 1);
    }
    r.sequences = static_cast<int64_t>(rows_of.size());
    r.most = *std::max_element(rows_of.begin(), rows_of.end());
    // A padded row sees position 0.
    std::vector<int64_t> padded, last_seen(static_cast<size_t>(r.sequences * r.most), 0), attended;
    for (size_t i = 0; i < rows.size(); ++i) {
      padded.push_back(sequence_of[i] * r.most + index[i]);
      last_seen[static_cast<size_t>(padded.back())] = rows[i].position;
    }
    for (const DecodeRow* last : last_of) {
      for (int64_t p = 0; p < r.longest; ++p)
        attended.push_back(Place(last->pages, std::min<int64_t>(p, last->position)));
    }
    r.tokens = OnDevice(tokens);
    r.positions = OnDevice(positions);
    r.places = OnDevice(places);
    r.attended = OnDevice(attended);
    r.padded = OnDevice(padded);
    const at::Tensor columns = at::arange(r.longest, r.tokens.options());
    r.seen = columns.view({1, 1, 1, -1}).le(OnDevice(last_seen).view({r.sequences, 1, r.most, 1}));
    r.cos = rotary_.cos.index_select(0, r.positions).unsqueeze(1);
    r.sin = rotary_.sin.index_select(0, r.positions).unsqueeze(1);
    return r;
  }

  int64_t Place(const int32_t* pages, int64_t position) const {
    const int64_t page = pages[position / kCachePage];
    TANDEM_CHECK(page >= 0 && page < pages_);
    return page * kCachePage + position % kCachePage;
  }

  // Writes the rows' keys and values into the cache, and attends. -> [rows, heads * head_size]
  at::Tensor Attend(const at::Tensor& qkv, size_t n, const Rows& r) {
    const ModelConfig& c = config_;
    const int64_t size = c.head_size(), rows = qkv.size(0);
    const auto parts = qkv.view({rows, c.heads + 2 * c.kv_heads, size})
                           .split_with_sizes({c.heads + c.kv_heads, c.kv_heads}, /*dim=*/1);
    const at::Tensor turned = Turn(parts[0], r);
    keys_[n].index_copy_(0, r.places, turned.narrow(1, c.heads, c.kv_heads));
    values_[n].index_copy_(0, r.places, parts[1]);
    at::Tensor queries = at::zeros({r.sequences * r.most, c.heads, size}, qkv.options());
    queries.index_copy_(0, r.padded, turned.narrow(1, 0, c.heads));
    const auto cached = [&](const at::Tensor& cache) {  // [sequences, kv_heads, longest, head_size]
      return cache.index_select(0, r.attended).view({r.sequences, r.longest, c.kv_heads, size}).transpose(1, 2);
    };
    const at::Tensor out = at::scaled_dot_product_attention(
        queries.view({r.sequences, r.most, c.heads, size}).transpose(1, 2), cached(keys_[n]), cached(values_[n]),
        r.seen,
        /*dropout_p=*/0.0, /*is_causal=*/false, /*scale=*/{}, /*enable_gqa=*/c.heads != c.kv_heads);
    return out.transpose(1, 2).reshape({r.sequences * r.most, c.heads * size}).index_select(0, r.padded);
  }

  // Rotary positions in float32, as the training pass turns them.
  at::Tensor Turn(const at::Tensor& x, const Rows& r) const {
    const auto halves = x.to(at::kFloat).chunk(2, -1);
    return at::cat({halves[0] * r.cos - halves[1] * r.sin, halves[1] * r.cos + halves[0] * r.sin}, -1).to(type_);
  }

  // By the rule of kernels/sampling.h: the first token whose cumulative probability exceeds the uniform number of
  // Philox(random_key, position + 1). logits: [wanted, vocabulary] float32.
  void Sample(const at::Tensor& logits, std::span<const DecodeRow> rows, const std::vector<int64_t>& wanted,
              std::span<SampledToken> sampled) const {
    const int64_t count = logits.size(0);
    at::Tensor settings = at::empty({3, count}, at::kFloat);
    float* values = settings.mutable_data_ptr<float>();
    for (int64_t i = 0; i < count; ++i) {
      const DecodeRow& row = rows[static_cast<size_t>(wanted[static_cast<size_t>(i)])];
      const bool greedy = row.temperature == 0;
      values[i] = greedy ? 1 : row.temperature;
      values[count + i] = UniformFloat(Philox(row.random_key, static_cast<uint64_t>(row.position) + 1)[0]);
      values[2 * count + i] = greedy ? 1 : 0;
    }
    settings = settings.to(device_);
    const at::Tensor temperature = settings[0].unsqueeze(1), uniform = settings[1].unsqueeze(1);
    const at::Tensor greedy = settings[2].unsqueeze(1).gt(0);
    const at::Tensor below = logits - logits.amax(1, /*keepdim=*/true);
    const at::Tensor weights = (Filtered(below, rows, wanted) / temperature).exp();
    const at::Tensor sums = weights.cumsum(1), total = sums.narrow(1, sums.size(1) - 1, 1);
    // Where rounding leaves no token above the uniform number, the last one of positive weight is taken.
    const at::Tensor index = at::arange(logits.size(1), IndexOptions());
    const at::Tensor last = at::where(weights.gt(0), index, at::zeros_like(index)).amax(1, /*keepdim=*/true);
    const at::Tensor drawn = at::minimum(sums.le(uniform * total).sum(1, /*keepdim=*/true), last);
    const at::Tensor first_largest =
        at::where(below.eq(0), index, at::full_like(index, logits.size(1) - 1)).amin(1, /*keepdim=*/true);
    const at::Tensor token = at::where(greedy, first_largest, drawn);
    const at::Tensor of_token = below.gather(1, token);
    const at::Tensor model = of_token - below.exp().sum(1, /*keepdim=*/true).log();
    // Divided by the plain sum, not the cumulative one: at temperature 1 both log-probabilities are the same number.
    const at::Tensor of_sampling =
        at::where(greedy, at::zeros_like(model), of_token / temperature - weights.sum(1, /*keepdim=*/true).log());
    const at::Tensor tokens = token.to(at::kInt).cpu();
    const at::Tensor logprobs = at::cat({of_sampling, model}, 1).cpu();  // [wanted, 2]
    const int32_t* ids = tokens.const_data_ptr<int32_t>();
    const float* numbers = logprobs.const_data_ptr<float>();
    for (int64_t i = 0; i < count; ++i) {
      sampled[static_cast<size_t>(i)] = {ids[i], numbers[2 * i], numbers[2 * i + 1]};
    }
  }

  // Logits whose left out tokens are -infinity, in the rows that have a filter. Filters run on the CPU.
  at::Tensor Filtered(const at::Tensor& logits, std::span<const DecodeRow> rows,
                      const std::vector<int64_t>& wanted) const {
    at::Tensor filtered;
    for (size_t i = 0; i < wanted.size(); ++i) {
      const DecodeRow& row = rows[static_cast<size_t>(wanted[i])];
      if (!row.filter.any() || row.temperature == 0) continue;
      if (!filtered.defined()) filtered = logits.to(at::kCPU, at::kFloat, /*non_blocking=*/false, /*copy=*/true);
      std::vector<int32_t> scratch;
      kernels::FilterLogits(row.filter, row.temperature, config_.vocabulary,
                            filtered.mutable_data_ptr<float>() + static_cast<int64_t>(i) * config_.vocabulary,
                            &scratch);
    }
    return filtered.defined() ? filtered.to(device_) : logits;
  }

  at::TensorOptions IndexOptions() const { return at::TensorOptions().device(device_).dtype(at::kLong); }

  const ModelConfig config_;
  const int64_t pages_;
  const at::Device device_;
  const at::ScalarType type_;
  const op::Rotary rotary_;
  std::vector<ModelTensors> sets_ = std::vector<ModelTensors>(1);
  size_t set_ = 0;                         // in use
  std::vector<at::Tensor> keys_, values_;  // of each layer: [pages * kCachePage, kv_heads, head_size]
};

}  // namespace

absl::StatusOr<std::unique_ptr<Decoder>> MakeAtenDecoder(const ModelConfig& config, int64_t pages,
                                                         const std::string& device, bool bf16) {
  TANDEM_RETURN_IF_ERROR(CheckModelConfig(config));
  TANDEM_ASSIGN_OR_RETURN(const std::string resolved, ResolveDevice(device));
  return TorchStatus([&]() -> std::unique_ptr<Decoder> {
    return std::make_unique<AtenDecoder>(config, pages, at::Device(resolved), bf16 ? at::kBFloat16 : at::kFloat);
  });
}

}  // namespace tandem
