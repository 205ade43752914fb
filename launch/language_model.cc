#include "launch/language_model.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "policy/device.h"
#include "policy/tokenizer/open_tokenizer.h"

namespace tandem {

absl::StatusOr<Placement> PlacementOf(const ModelFlags& flags) {
  Placement placement;
  TANDEM_ASSIGN_OR_RETURN(placement.device, ResolveDevice(flags.device));
  placement.int8 = flags.precision == "int8";
  if (flags.precision != "" && flags.precision != "float32" && flags.precision != "bf16" && !placement.int8) {
    return absl::InvalidArgumentError(
        absl::StrCat("--precision ", flags.precision, ": expected float32, bf16 or int8"));
  }
  placement.bf16 = flags.precision.empty() ? placement.device != "cpu" : flags.precision == "bf16";
  return placement;
}

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizerOf(const ModelFolder& folder) {
  TANDEM_ASSIGN_OR_RETURN(std::unique_ptr<Tokenizer> tokenizer, OpenTokenizer(folder.path));
  if (tokenizer->vocabulary() > folder.shape().vocabulary) {
    return absl::InvalidArgumentError(absl::StrCat(folder.path, "/tokenizer.json: has ids up to ",
                                                   tokenizer->vocabulary() - 1, "; vocab_size of config.json is ",
                                                   folder.shape().vocabulary));
  }
  return tokenizer;
}

absl::StatusOr<std::unique_ptr<Model>> LoadScorer(const ModelFolder& folder, const Placement& placement) {
  if (placement.int8) return absl::InvalidArgumentError("--precision int8: only generate and serve have it");
  TANDEM_ASSIGN_OR_RETURN(std::unique_ptr<Model> model,
                          Model::Create(folder.shape(), placement.device, placement.bf16, /*trains=*/false));
  at::Tensor weights = model->flat();
  if (!weights.is_cpu()) weights = at::empty({weights.numel()}, at::kFloat);
  TANDEM_RETURN_IF_ERROR(
      ReadWeights(folder, {weights.mutable_data_ptr<float>(), static_cast<size_t>(weights.numel())}));
  if (!model->flat().is_cpu()) model->flat().copy_(weights);
  return model;
}

absl::StatusOr<std::unique_ptr<Engine>> LoadEngine(const ModelFolder& folder, const Placement& placement,
                                                   const EngineOptions& options, int64_t cache_mb) {
  const ModelConfig& shape = folder.shape();
  int64_t pages = CachePages(shape.context, options.max_batch);
  if (cache_mb > 0) {
    const bool halves = placement.bf16 && placement.device != "cpu";
    pages = std::min(pages, CachePagesWithin(shape, cache_mb, halves ? 2 : 4));
  }
  TANDEM_ASSIGN_OR_RETURN(std::unique_ptr<Decoder> decoder,
                          MakeDecoder(shape, pages, placement.device, placement.weights()));
  auto engine = std::make_unique<Engine>(std::move(decoder), options);
  const auto count = static_cast<size_t>(ParameterCount(shape));
  const std::unique_ptr<float[]> weights(new float[count]);  // not touched: ReadWeights is then fastest
  TANDEM_RETURN_IF_ERROR(ReadWeights(folder, {weights.get(), count}));
  TANDEM_RETURN_IF_ERROR(engine->Install({.incarnation = 0, .number = 0}, {weights.get(), count}));
  return engine;
}

absl::Status NotANumber(const std::string& model) {
  return absl::DataLossError(
      absl::StrCat(model, ": its log-probabilities are not numbers: are its weights finite, and not too large?"));
}

}  // namespace tandem
