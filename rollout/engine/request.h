// What an engine is asked, and what it answers.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/status/status.h"
#include "kernels/sampling_filter.h"
#include "policy/model_config.h"
#include "proto/message.pb.h"
#include "rollout/engine/version.h"

namespace tandem {

// Rows that a version reads in; the last of several goes on without end.
using Readers = VersionRuns;

// The cache of a turn was dropped when the turn had so many tokens of output, and all before them was read in anew.
struct CacheRestart {
  uint32_t output;
  VersionRuns cache_runs;  // as the cache was until then: over prompt and output but their last token
};

// Who reads in the rows of a turn, from its beginning to its end.
struct Reading {
  std::vector<CacheRestart> restarts;
  Readers readers;  // of the cache that it ends with
};

struct GenerateRequest {
  std::vector<int32_t> prompt;  // at least one id
  float temperature = 1;        // 0 is greedy
  kernels::SamplingFilter filter = {};
  int32_t max_new_tokens = 1;
  std::vector<int32_t> stop_ids = {};  // each ends the turn, and is its last token
  uint64_t random_key = 0;             // of (seed, episode, role, node); the token's position is the counter
  // Which versions read in the rows of prompt and output; a row's version writes the token after it. Empty: whichever
  // is the newest then.
  Readers readers = {};
  // The same for a turn whose cache is to be dropped on its way, as it once was: each says who reads until then, and
  // `readers` who does in the end.
  std::vector<CacheRestart> restarts = {};
  double deadline_s = std::numeric_limits<double>::infinity();  // of the engine's clock: then it ends with what it has

  // Calls visit(version) for each run that names one.
  template <typename Visit>
  void EachNamed(const Visit& visit) const {
    for (const CacheRestart& restart : restarts) {
      for (const VersionCount& run : restart.cache_runs) visit(run.version);
    }
    for (const VersionCount& run : readers) visit(run.version);
  }
  bool Stops(int32_t id) const { return std::find(stop_ids.begin(), stop_ids.end(), id) != stop_ids.end(); }
};

struct GenerateResult {
  std::vector<int32_t> output;
  std::vector<float> sampled_logprobs;  // of the distribution sampled from (greedy: 0)
  std::vector<float> model_logprobs;    // of the model at temperature 1
  VersionRuns version_runs;             // over output
  VersionRuns cache_runs;               // over prompt and output but the last token, as the cache was in the end
  std::vector<CacheRestart> restarts;   // and as it was before, where a token was written from it
  proto::FinishReason finish = proto::FINISH_UNKNOWN;
};

// kInvalidArgument: a prompt that does not fit the context with one token of output, or that holds ids outside of the
// vocabulary; sampling parameters out of range.
absl::Status CheckRequest(const GenerateRequest& request, const ModelConfig& model);

}  // namespace tandem
