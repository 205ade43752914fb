// Who can play: the environment, an engine for each policy, and the teams that they make up.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "policy/policy_source.h"
#include "proto/config.pb.h"
#include "rollout/engine/engine.h"
#include "rollout/env/environment.h"
#include "rollout/episode/episode.h"
#include "rollout/episode/remote_player.h"

namespace tandem {

// Makes the arithmetic behind an engine, with so many pages for caches.
using DecoderFactory = std::function<absl::StatusOr<std::unique_ptr<Decoder>>(const ModelConfig& shape, int64_t pages)>;

// The precision of the engines' matrix products, as configured.
kernels::WeightType EngineWeights(const proto::RolloutConfig& rollout);

// The policy that plays `role`: as configured, or the one of the same name. "": a remote model plays it.
std::string PolicyOfRole(const proto::Config& config, const std::string& role);

// Not thread-safe. Outlives what is played with it.
class Cast {
 public:
  // The roles' seats are empty but for the scripted team's. `environment` and `clock` outlive the cast.
  static absl::StatusOr<std::unique_ptr<Cast>> Create(const proto::Config& config, const Environment& environment,
                                                      const Clock& clock);

  // With an engine, without weights yet, for each policy that has a role, and all roles seated. Errors name the policy.
  static absl::StatusOr<std::unique_ptr<Cast>> CreateForRun(const proto::Config& config, const Environment& environment,
                                                            const Clock& clock, const DecoderFactory& factory);

  // From now on the environment's tool takes its time, by the cast's clock. (Otherwise it takes none: whoever repeats
  // or evaluates need not wait.)
  void LetToolsTakeTime();
  // Seconds until Step goes on with somebody who waits for a tool, 0 when it would now; nullopt: nobody does.
  std::optional<double> NextTool() const { return timers_ ? timers_->NextIn() : std::nullopt; }

  // An engine called `name` for a model of `shape`. kInvalidArgument: a bad shape.
  absl::Status AddEngine(const std::string& name, const ModelConfig& shape, const DecoderFactory& factory);

  // `role` is played by the engine called `engine`, or by its script without errors (""). `language`: the engine's,
  // which outlives the cast; null: that of the role's policy.
  void Seat(const std::string& role, const std::string& engine, const Language* language = nullptr);

  // `role` is played by a remote model. Its threads start when it is first asked. kInvalidArgument: its url.
  absl::Status SeatRemote(const std::string& role, const proto::RemoteConfig& config);
  // Turns that wait for a remote model: they go on in Step. Wait: until one can, timeout_s at most.
  size_t asked() const;
  void WaitForRemote(double timeout_s);
  // kUnavailable: a remote model does not answer any more (roles.<role>.remote.give_up_after).
  absl::Status RemoteStatus() const;

  // What a policy of the configuration starts from.
  const PolicySource& source(const std::string& policy) const { return sources_.at(policy); }

  // Engines by name: the policy's in a run. They are told of new weights by whoever gets them.
  std::map<std::string, std::unique_ptr<Engine>>& engines() { return engines_; }

  // Goes on with what has waited long enough for a tool, and with what a remote model has answered, then one decode
  // step of every engine. Returns the tokens generated.
  int64_t Step();
  // Turns that wait for a step.
  size_t live() const;

  // The team of a ticket: scripts with the configured share of errors for the warm start, the seated roles otherwise.
  const Team& team(proto::Purpose purpose) const { return purpose == proto::SFT ? scripted_ : seated_; }

  // Whether the ticket's turns may start: no engine is without weights or older than the ticket's least version of its
  // policy. (Tickets of the warm start need no engine.)
  bool ReadyFor(const proto::Ticket& ticket) const;

  const Setting& setting() const { return setting_; }
  const proto::Config& config() const { return config_; }

 private:
  Cast(const proto::Config& config, const Environment& environment, std::map<std::string, PolicySource> sources,
       const Clock& clock);
  int32_t MaxNewTokens(const std::string& role) const;
  int64_t PagesFor(const ModelConfig& shape) const;  // of the key-value cache

  const proto::Config config_;
  const std::map<std::string, PolicySource> sources_;  // by policy; "": what scripts of remote roles write in
  std::optional<Timers> timers_;
  Setting setting_;
  std::map<std::string, std::unique_ptr<Engine>> engines_;
  std::vector<std::unique_ptr<Player>> players_;
  std::vector<RemotePlayer*> remotes_;  // of players_
  Team seated_, scripted_;
};

}  // namespace tandem
