#include "rollout/weight_watch.h"

#include <algorithm>
#include <span>

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
    if (!policy.heard || policy.fetching || policy.installing) continue;
    const auto found = cast_->engines().find(name);
    if (found == cast_->engines().end()) continue;  // plays no role here
    const Engine& engine = *found->second;
    if (engine.has_weights() && engine.version() >= policy.newest) continue;
    VersionId wanted = policy.newest;
    if (engine.keeps() > 0) {
      // Tickets may name any of those that are kept: none is skipped.
      const bool same = engine.has_weights() && engine.version().incarnation == wanted.incarnation;
      wanted.number = same ? engine.version().number + 1 : wanted.number - std::min(wanted.number, engine.keeps());
    }
    proto::Version least;
    least.set_incarnation(wanted.incarnation);
    least.set_number(wanted.number);
    link_->FetchWeights(name, least, /*in_order=*/engine.keeps() > 0);
    policy.fetching = true;
  }
}

absl::Status WeightWatch::Install(WeightsArrived weights, double now) {
  Policy& policy = policies_[weights.policy];
  policy.fetching = false;
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
  policy.bytes = std::move(weights.bytes);
  const std::span flat(reinterpret_cast<const float*>(policy.bytes.data()), policy.bytes.size() / sizeof(float));
  policy.installing = true;
  policy.replaces = engine.has_weights();
  policy.published_s = weights.published_s;
  TANDEM_RETURN_IF_ERROR(Annotate(engine.InstallOverSteps(version, flat), what));
  return Settle(now).status();
}

absl::StatusOr<bool> WeightWatch::Settle(double now) {
  bool any = false;
  for (auto& [name, policy] : policies_) {
    if (!policy.installing) continue;
    const Engine& engine = *cast_->engines().at(name);
    if (engine.installing()) continue;
    TANDEM_RETURN_IF_ERROR(Annotate(engine.install_status(), absl::StrCat("weights of ", name)));
    policy.installing = false;
    link_->Reuse(name, std::move(policy.bytes));
    any = true;
    ++installed_;
    LogDebug("installed ", name, " ", engine.version().incarnation, "-", engine.version().number);
    if (!policy.replaces) continue;
    auto& [sum, count] = lags_[name];
    sum += now - policy.published_s;
    ++count;
  }
  return any;
}

std::map<std::string, double> WeightWatch::TakePublishLags() {
  std::map<std::string, double> means;
  for (const auto& [policy, lag] : std::exchange(lags_, {})) means[policy] = lag.first / lag.second;
  return means;
}

}  // namespace tandem
