// Lag injection: how many versions old the groups are that one policy is trained on, as an independent variable.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/config.pb.h"

namespace tandem {

// Of one group: the lag of a turn's first tokens, and of those from token `switch_at` on (0: there are none).
struct Lag {
  uint32_t first = 0;
  uint32_t then = 0;  // at most `first`, since versions never go back
  uint32_t switch_at = 0;
};

// A pure function of configuration, seed and slot. Immutable.
class LagModel {
 public:
  // `trace`: the text of the file that config.trace() names; `needed`: groups that will be trained on. Errors begin
  // with the key or the file and the line: not exactly one kind of lag, a lag beyond `bound`, a trace that ends early.
  static absl::StatusOr<LagModel> Create(const proto::LagConfig& config, const std::string& policy, uint32_t bound,
                                         uint32_t seed, std::string_view trace, uint64_t needed);

  // Of the group in place `slot`, counted over the steps of the policy from version 0 on.
  Lag Draw(uint64_t slot) const;

  uint32_t bound() const { return bound_; }

 private:
  LagModel(const proto::LagConfig& config, const std::string& policy, uint32_t bound, uint32_t seed);
  uint32_t DrawOne(uint64_t key) const;

  proto::LagConfig config_;
  uint32_t bound_;
  uint64_t key_;
  std::vector<Lag> trace_;
};

using LagModels = std::map<std::string, LagModel>;  // by policy

// Those of a configuration. Traces lie in `folder`.
absl::StatusOr<LagModels> MakeLagModels(const proto::Config& config, const std::string& folder);

// The largest lag that can come up: so many versions have to be kept behind the newest.
uint32_t MostLag(const proto::LagConfig& config, uint32_t bound);

}  // namespace tandem
