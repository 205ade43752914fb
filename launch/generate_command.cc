#include <cmath>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "base/status.h"
#include "launch/count_line.h"
#include "launch/language_model.h"
#include "launch/prompts.h"
#include "policy/tokenizer/text_stream.h"
#include "rollout/engine/engine.h"

namespace tandem {
namespace {

// A request in work: what has come of it.
struct Generation {
  std::optional<TextStream> stream;  // where there is a tokenizer
  std::string text;
  std::optional<GenerateResult> result;
};

// Generates for all prompts, and prints each result as soon as those before it are printed.
class Generator {
 public:
  Generator(const GenerateFlags& flags, StopStrings stops, const Tokenizer* tokenizer, std::vector<int32_t> eos_ids,
            Engine* engine)
      : flags_(flags),
        stops_(std::move(stops)),
        tokenizer_(tokenizer),
        eos_ids_(std::move(eos_ids)),
        engine_(*engine) {}

  absl::Status Run(const std::vector<std::vector<int32_t>>& prompts) {
    for (const std::vector<int32_t>& prompt : prompts) TANDEM_RETURN_IF_ERROR(Begin(prompt));
    CountLine progress("requests", prompts.size());
    while (!generations_.empty()) {
      engine_.Step();
      while (!generations_.empty() && generations_.front()->result) {
        TANDEM_RETURN_IF_ERROR(Print(*generations_.front()));
        generations_.pop_front();
        progress.Add(1);
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Begin(const std::vector<int32_t>& prompt) {
    generations_.push_back(std::make_unique<Generation>());
    Generation* generation = generations_.back().get();
    if (tokenizer_ != nullptr) generation->stream.emplace(*tokenizer_, stops_);
    GenerateRequest request;
    request.prompt = prompt;
    request.temperature = flags_.greedy ? 0 : static_cast<float>(flags_.temperature);
    request.filter = {.top_k = static_cast<int32_t>(flags_.top_k),
                      .top_p = static_cast<float>(flags_.top_p),
                      .min_p = static_cast<float>(flags_.min_p)};
    request.max_new_tokens = static_cast<int32_t>(flags_.max_new_tokens);
    request.stop_ids = eos_ids_;
    request.random_key = MixKey(flags_.seed, begun_++);
    const auto id = std::make_shared<Engine::RequestId>(0);
    TANDEM_ASSIGN_OR_RETURN(*id, engine_.Submit(
                                     std::move(request),
                                     [this, generation, id](int32_t token) {
                                       if (Stops(*generation, token)) engine_.Cancel(*id);
                                     },
                                     [generation](GenerateResult result) { generation->result = std::move(result); }));
    return absl::OkStatus();
  }

  // Whether a stop string has come up.
  static bool Stops(Generation& generation, int32_t token) {
    if (!generation.stream) return false;
    generation.text += generation.stream->Push(token);
    return generation.stream->stopped();
  }

  absl::Status Print(Generation& generation) const {
    for (const float logprob : generation.result->model_logprobs) {
      if (std::isnan(logprob)) return NotANumber(flags_.model.model);
    }
    const bool stopped = generation.stream && generation.stream->stopped();
    nlohmann::ordered_json line;
    line["ids"] = generation.result->output;
    if (generation.stream) line["text"] = generation.text + generation.stream->Finish();
    line["logprobs"] = generation.result->model_logprobs;
    line["sampled_logprobs"] = generation.result->sampled_logprobs;
    line["finish"] = stopped || generation.result->finish == proto::STOP ? "stop" : "length";
    const std::string text = line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    if (std::printf("%s\n", text.c_str()) < 0 || std::fflush(stdout) != 0) {
      return absl::DataLossError("standard output: cannot be written");
    }
    return absl::OkStatus();
  }

  const GenerateFlags& flags_;
  const StopStrings stops_;
  const Tokenizer* const tokenizer_;  // or nullptr
  const std::vector<int32_t> eos_ids_;
  Engine& engine_;
  uint64_t begun_ = 0;
  std::deque<std::unique_ptr<Generation>> generations_;  // that have not been printed, in the order of the input
};

absl::Status CheckFlags(const GenerateFlags& flags) {
  if (flags.prompt.empty() == flags.input.empty()) {
    return absl::InvalidArgumentError("expected either --prompt (not empty) or --input");
  }
  if (flags.chat && flags.prompt.empty()) {
    return absl::InvalidArgumentError("--chat: goes with --prompt; in a file a chat is a line with \"messages\"");
  }
  if (!(flags.temperature >= 0 && flags.temperature <= 1e6)) {
    return absl::InvalidArgumentError("--temperature: expected 0 to 1000000");
  }
  if (!(flags.top_p >= 0 && flags.top_p <= 1)) return absl::InvalidArgumentError("--top-p: expected 0 to 1");
  if (!(flags.min_p >= 0 && flags.min_p <= 1)) return absl::InvalidArgumentError("--min-p: expected 0 to 1");
  if (flags.max_new_tokens < 1 || flags.max_new_tokens > (1u << 30)) {
    return absl::InvalidArgumentError("--max-new-tokens: expected 1 or more");
  }
  if (flags.batch < 1 || flags.batch > 4096) return absl::InvalidArgumentError("--batch: expected 1 to 4096");
  return absl::OkStatus();
}

}  // namespace

int GenerateText(const GenerateFlags& flags) {
  if (const absl::Status checked = CheckFlags(flags); !checked.ok()) return BadInput(checked);
  absl::StatusOr<StopStrings> stops = StopStrings::Create(flags.stop);
  if (!stops.ok()) return BadInput(Annotate(stops.status(), "--stop"));
  const absl::StatusOr<Placement> placement = PlacementOf(flags.model);
  if (!placement.ok()) return BadInput(placement.status());
  const absl::StatusOr<ModelFolder> folder = LoadModelFolder(flags.model.model);
  if (!folder.ok()) return BadInput(folder.status());
  const auto loaded = LoadTokenizerOf(*folder);
  std::error_code error;
  const bool without = !std::filesystem::exists(flags.model.model + "/tokenizer.json", error) && flags.stop.empty();
  if (!loaded.ok() && !without) return BadInput(loaded.status());
  const Tokenizer* tokenizer = without ? nullptr : loaded->get();  // ids will do
  const auto prompts = ReadPrompts({flags.prompt, flags.chat, flags.input}, *folder, tokenizer);
  if (!prompts.ok()) return BadInput(prompts.status());
  const auto engine = LoadEngine(*folder, *placement, {.max_batch = flags.batch});
  if (!engine.ok()) return BadInput(engine.status());
  const absl::Status done =
      Generator(flags, *std::move(stops), tokenizer, folder->eos_ids(), engine->get()).Run(*prompts);
  return done.ok() ? kExitFine : Failed(done);
}

}  // namespace tandem
