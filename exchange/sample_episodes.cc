#include "exchange/sample_episodes.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/log.h"

namespace tandem {
namespace {

enum Kind { kPlain, kMixed, kEvaluation };

bool HasText(const proto::Episode& episode) {
  return std::any_of(episode.turns().begin(), episode.turns().end(),
                     [](const proto::Turn& turn) { return !turn.output_pieces().empty(); });
}

bool IsMixed(const proto::Episode& episode) {
  return std::any_of(episode.turns().begin(), episode.turns().end(),
                     [](const proto::Turn& turn) { return turn.version_runs_size() >= 2; });
}

}  // namespace

absl::StatusOr<std::unique_ptr<SampleEpisodes>> SampleEpisodes::Create(const std::string& run_folder,
                                                                       uint32_t train_steps) {
  const std::string path = run_folder + "/episodes.jsonl";
  std::FILE* file = std::fopen(path.c_str(), "a");
  if (file == nullptr) return absl::UnavailableError(absl::StrCat(path, ": ", std::strerror(errno)));
  return std::unique_ptr<SampleEpisodes>(new SampleEpisodes(file, (train_steps + kSteps - 1) / kSteps));
}

SampleEpisodes::~SampleEpisodes() { std::fclose(file_); }

bool SampleEpisodes::Wanted(const proto::Group& group, const proto::Episode& episode, uint32_t step) {
  if (!HasText(episode)) return false;
  const bool evaluation = group.ticket().purpose() == proto::EVAL;
  if (!evaluation && every_ > 1 && step % every_ != 0) return false;
  const Kind kind = evaluation ? kEvaluation : IsMixed(episode) ? kMixed : kPlain;
  const uint32_t most = kind == kEvaluation ? kPerEvaluation : kind == kMixed ? kMixedPerStep : kPlainPerStep;
  uint32_t& kept = kept_[{step, kind}];
  if (kept >= most) return false;
  ++kept;
  return true;
}

void SampleEpisodes::Look(const proto::Group& group, uint32_t step, double now) {
  const char* purpose = group.ticket().purpose() == proto::EVAL ? "eval" : "train";
  for (const proto::Episode& episode : group.episodes()) {
    if (!Wanted(group, episode, step)) continue;
    if (skip_ > 0) {
      --skip_;
      continue;
    }
    google::protobuf::util::JsonPrintOptions options;
    options.preserve_proto_field_names = true;
    std::string json;
    if (!google::protobuf::util::MessageToJsonString(episode, &json, options).ok()) continue;  // text that is no UTF-8
    const std::string line =
        absl::StrFormat("{\"ticket\":%d,\"purpose\":\"%s\",\"time_s\":%.3f,\"step_hint\":%d,\"episode\":%s}\n",
                        group.ticket().id(), purpose, now, step, json);
    if (std::fwrite(line.data(), 1, line.size(), file_) == line.size() && std::fflush(file_) == 0) continue;
    LogError("episodes.jsonl: ", std::strerror(errno));
    return;
  }
}

}  // namespace tandem
