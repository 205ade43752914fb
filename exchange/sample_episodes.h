// RUN/episodes.jsonl: episodes for people to read.
#pragma once

#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "proto/message.pb.h"

namespace tandem {

// Keeps about 400 lines of a run: a few episodes of about 60 steps, spread evenly over it, those with a turn that two
// versions wrote first among them; and 40 of each evaluation. Only episodes whose turns carry their text are of use.
// A line: {"ticket":..,"purpose":"train"|"eval","time_s":..,"step_hint":..,"episode":{proto::Episode}}. Not
// thread-safe.
class SampleEpisodes {
 public:
  static constexpr uint32_t kSteps = 60;
  static constexpr uint32_t kMixedPerStep = 3;
  static constexpr uint32_t kPlainPerStep = 2;
  static constexpr uint32_t kPerEvaluation = 40;

  // Appends to run_folder/episodes.jsonl. The error names the path.
  static absl::StatusOr<std::unique_ptr<SampleEpisodes>> Create(const std::string& run_folder, uint32_t train_steps);
  ~SampleEpisodes();
  SampleEpisodes(const SampleEpisodes&) = delete;
  SampleEpisodes& operator=(const SampleEpisodes&) = delete;

  // The first `lines` that are to be kept from now on are in the file already.
  void Skip(uint64_t lines) { skip_ = lines; }

  // Looks at a group that has arrived when the newest version was `step`.
  void Look(const proto::Group& group, uint32_t step, double now);

 private:
  SampleEpisodes(std::FILE* file, uint32_t every) : file_(file), every_(every) {}
  bool Wanted(const proto::Group& group, const proto::Episode& episode, uint32_t step);

  std::FILE* file_;  // owned
  uint64_t skip_ = 0;
  uint32_t every_;                                     // steps from one that is sampled to the next
  std::map<std::pair<uint32_t, int>, uint32_t> kept_;  // by step, and kind: plain, mixed, of an evaluation
};

}  // namespace tandem
