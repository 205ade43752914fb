#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <span>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "launch/count_line.h"
#include "launch/language_model.h"
#include "launch/request_file.h"
#include "policy/torch_status.h"

namespace tandem {
namespace {

constexpr size_t kBatchTokens = 8192;  // that are scored at once: a pass prepares the weights only once

using TokenIds = std::vector<int32_t>;

absl::StatusOr<std::vector<TokenIds>> ReadSequences(const std::string& file, const ModelFolder& folder) {
  TANDEM_ASSIGN_OR_RETURN(const std::vector<RequestLine> lines, ReadRequests(file, {"ids", "text"}));
  std::unique_ptr<Tokenizer> tokenizer;  // read when it is first asked for
  std::vector<TokenIds> sequences;
  for (const RequestLine& line : lines) {
    if (line.fields.size() != 1) return RequestError(line, "expected either ids or text");
    TokenIds ids;
    if (line.fields.contains("ids")) {
      TANDEM_ASSIGN_OR_RETURN(ids, AtLine(line, IdsOf(line.fields, folder.shape().vocabulary)));
    } else {
      if (tokenizer == nullptr) {
        TANDEM_ASSIGN_OR_RETURN(tokenizer, LoadTokenizerOf(folder));
      }
      TANDEM_ASSIGN_OR_RETURN(const std::string text, AtLine(line, TextOf(line.fields)));
      TANDEM_ASSIGN_OR_RETURN(ids, AtLine(line, tokenizer->Encode(text, {.add_special_tokens = true})));
    }
    const auto size = static_cast<int64_t>(ids.size());
    if (size < 1 || size > folder.shape().context) {
      return RequestError(line, absl::StrCat(size, " tokens, expected 1 to ", folder.shape().context,
                                             " (max_position_embeddings of ", folder.path, "/config.json)"));
    }
    sequences.push_back(std::move(ids));
  }
  return sequences;
}

// Of every token but the first of a sequence, one after the other.
absl::StatusOr<std::vector<float>> LogProbs(Model& model, std::span<const TokenIds> sequences) {
  PackedSequences packed;
  for (const TokenIds& ids : sequences) {
    for (size_t t = 1; t < ids.size(); ++t) packed.targets.push_back(static_cast<int32_t>(packed.ids.size() + t));
    packed.ids.insert(packed.ids.end(), ids.begin(), ids.end());
    packed.lengths.push_back(static_cast<int32_t>(ids.size()));
  }
  return TorchStatus([&] {
    const at::NoGradGuard no_grad;
    const at::Tensor logprobs = model.Score(packed).logprobs.to(at::kCPU, at::kFloat).contiguous();
    const float* values = logprobs.const_data_ptr<float>();
    return std::vector<float>(values, values + logprobs.numel());
  });
}

absl::Status Print(std::span<const TokenIds> sequences, const std::vector<float>& logprobs) {
  auto next = logprobs.begin();
  for (const TokenIds& ids : sequences) {
    nlohmann::ordered_json line;
    line["ids"] = ids;
    const auto end = next + static_cast<int64_t>(ids.size()) - 1;
    line["logprobs"] = std::vector<float>(next, end);
    next = end;
    if (std::printf("%s\n", line.dump().c_str()) < 0) return absl::DataLossError("standard output: cannot be written");
  }
  return std::fflush(stdout) == 0 ? absl::OkStatus() : absl::DataLossError("standard output: cannot be written");
}

absl::Status ScoreAll(const std::string& path, Model& model, std::span<const TokenIds> sequences) {
  CountLine progress("sequences", sequences.size());
  while (!sequences.empty()) {
    size_t count = 0;
    for (size_t tokens = 0; count < sequences.size(); ++count) {
      tokens += sequences[count].size();
      if (count > 0 && tokens > kBatchTokens) break;
    }
    const auto batch = sequences.first(count);
    TANDEM_ASSIGN_OR_RETURN(const std::vector<float> logprobs, LogProbs(model, batch));
    for (const float logprob : logprobs) {
      if (std::isnan(logprob)) return NotANumber(path);
    }
    TANDEM_RETURN_IF_ERROR(Print(batch, logprobs));
    progress.Add(count);
    sequences = sequences.subspan(count);
  }
  return absl::OkStatus();
}

}  // namespace

int ScoreSequences(const ScoreFlags& flags) {
  const absl::StatusOr<Placement> placement = PlacementOf(flags.model);
  if (!placement.ok()) return BadInput(placement.status());
  const absl::StatusOr<ModelFolder> folder = LoadModelFolder(flags.model.model);
  if (!folder.ok()) return BadInput(folder.status());
  const absl::StatusOr<std::vector<TokenIds>> sequences = ReadSequences(flags.input, *folder);
  if (!sequences.ok()) return BadInput(sequences.status());
  const absl::StatusOr<std::unique_ptr<Model>> model = LoadScorer(*folder, *placement);
  if (!model.ok()) return BadInput(model.status());
  const absl::Status scored = ScoreAll(flags.model.model, **model, *sequences);
  return scored.ok() ? kExitFine : Failed(scored);
}

}  // namespace tandem
