#include "rollout/weight_watch.h"

#include <cstring>
#include <vector>

#include "base/log.h"
#include "base/status.h"

namespace tandem {

void WeightWatch::HeardOf(const std::string& policy, const proto::Version& version) {
  const VersionId heard{version.incarnation(), version.number()};
  Policy& known = policies_[policy];
  if (known.heard && heard <= known.newest) return;
  known.heard = true;
  known.newest = heard;
}

void WeightWatch::Fetch() {
  for (auto& [name, policy] : policies_) {
    if (!policy.heard || policy.fetching) continue;
    const auto found = cast_->engines().find(name);
    if (found == cast_->engines().end()) continue;  // plays no role here
    const Engine& engine = *found->second;
    if (engine.has_weights() && engine.version() >= policy.newest) continue;
    proto::Version least;
    least.set_incarnation(policy.newest.incarnation);
    least.set_number(policy.newest.number);
    link_->FetchWeights(name, least);
    policy.fetching = true;
  }
}

absl::Status WeightWatch::Install(const WeightsArrived& weights) {
  policies_[weights.policy].fetching = false;
  HeardOf(weights.policy, weights.version);
  const auto found = cast_->engines().find(weights.policy);
  if (found == cast_->engines().end()) return absl::OkStatus();
  Engine& engine = *found->second;
  const VersionId version{weights.version.incarnation(), weights.version.number()};
  if (engine.has_weights() && version <= engine.version()) return absl::OkStatus();
  const std::string what = absl::StrCat("weights of ", weights.policy, " ", version.incarnation, "-", version.number);
  if (weights.bytes.size() % sizeof(float) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(what, ": ", weights.bytes.size(), " bytes are no whole float32s"));
  }
  std::vector<float> flat(weights.bytes.size() / sizeof(float));
  std::memcpy(flat.data(), weights.bytes.data(), weights.bytes.size());
  TANDEM_RETURN_IF_ERROR(Annotate(engine.Install(version, flat), what));
  ++installed_;
  LogDebug("installed ", what);
  return absl::OkStatus();
}

}  // namespace tandem
