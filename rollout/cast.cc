#include "rollout/cast.h"

#include <utility>

#include "base/status.h"
#include "exchange/lag.h"
#include "rollout/model_shape.h"

namespace tandem {
namespace {

// In the order in which an episode's turns are recorded.
const char* const kRoles[] = {"planner", "executor"};

}  // namespace

kernels::WeightType EngineWeights(const proto::RolloutConfig& rollout) {
  switch (rollout.precision()) {
    case proto::RolloutConfig::BF16:
      return kernels::WeightType::kBf16;
    case proto::RolloutConfig::INT8:
      return kernels::WeightType::kInt8;
    default:
      return kernels::WeightType::kFloat32;
  }
}

std::string PolicyOfRole(const proto::Config& config, const std::string& role) {
  const auto found = config.roles().find(role);
  if (found != config.roles().end() && found->second.has_remote()) return "";
  return found == config.roles().end() || found->second.policy().empty() ? role : found->second.policy();
}

Cast::Cast(const proto::Config& config, const Environment& environment, std::map<std::string, PolicySource> sources,
           const Clock& clock)
    : config_(config),
      sources_(std::move(sources)),
      setting_{environment, clock, static_cast<int>(config.environment().max_nodes())} {
  for (const std::string role : kRoles) {
    const double corrupt = role == kPlannerRole ? config.sft().corrupt_plans() : config.sft().corrupt_steps();
    const std::string policy = PolicyOfRole(config, role);
    players_.push_back(MakeScriptedPlayer(corrupt));
    scripted_.seats.emplace_back(role, policy, sources_.at(policy).language.get(), players_.back().get(),
                                 MaxNewTokens(role));
  }
}

absl::StatusOr<std::unique_ptr<Cast>> Cast::Create(const proto::Config& config, const Environment& environment,
                                                   const Clock& clock) {
  std::map<std::string, PolicySource> sources;
  for (const std::string role : kRoles) {
    const std::string policy = PolicyOfRole(config, role);
    if (policy.empty()) {
      TANDEM_ASSIGN_OR_RETURN(sources[policy], OpenPolicySource("", ModelShape({}, 0), environment.alphabet(), ""));
      continue;
    }
    const auto found = config.policies().find(policy);
    if (found == config.policies().end()) {
      return absl::InvalidArgumentError(absl::StrCat("roles.", role, ".policy: there is no policy ", policy));
    }
    if (sources.contains(policy)) continue;
    const proto::PolicyConfig& options = found->second;
    absl::StatusOr<PolicySource> source =
        OpenPolicySource(options.init(), ModelShape(options.model(), 0), environment.alphabet(), options.system());
    if (!source.ok()) return Annotate(source.status(), absl::StrCat("policies.", policy));
    sources.emplace(policy, *std::move(source));
  }
  return std::unique_ptr<Cast>(new Cast(config, environment, std::move(sources), clock));
}

absl::StatusOr<std::unique_ptr<Cast>> Cast::CreateForRun(const proto::Config& config, const Environment& environment,
                                                         const Clock& clock, const DecoderFactory& factory) {
  TANDEM_ASSIGN_OR_RETURN(std::unique_ptr<Cast> cast, Create(config, environment, clock));
  for (const std::string role : kRoles) {
    const std::string policy = PolicyOfRole(config, role);
    if (policy.empty()) {
      TANDEM_RETURN_IF_ERROR(cast->SeatRemote(role, config.roles().at(role).remote()));
      continue;
    }
    if (!cast->engines_.contains(policy)) {
      TANDEM_RETURN_IF_ERROR(
          Annotate(cast->AddEngine(policy, cast->source(policy).shape, factory), absl::StrCat("policies.", policy)));
      cast->engines_.at(policy)->ExpectUpdates();
      const auto lag = config.lag().find(policy);
      if (lag != config.lag().end()) {
        cast->engines_.at(policy)->Keep(MostLag(lag->second, config.policies().at(policy).staleness().bound()));
      }
    }
    cast->Seat(role, policy);
  }
  return cast;
}

void Cast::LetToolsTakeTime() {
  if (!config_.environment().has_tool()) return;
  timers_.emplace(setting_.clock);
  setting_.timers = &*timers_;
  setting_.tool = &config_.environment().tool();
}

absl::Status Cast::AddEngine(const std::string& name, const ModelConfig& shape, const DecoderFactory& factory) {
  TANDEM_RETURN_IF_ERROR(Annotate(CheckModelConfig(shape), "model"));
  const int64_t max_batch = config_.rollout().max_batch();
  TANDEM_ASSIGN_OR_RETURN(std::unique_ptr<Decoder> decoder, factory(shape, PagesFor(shape)));
  const bool keep = config_.rollout().kv() == proto::KEEP;
  const EngineOptions options{.max_batch = max_batch, .on_swap = keep ? KeyValues::kKeep : KeyValues::kRecompute};
  engines_[name] = std::make_unique<Engine>(std::move(decoder), options);
  return absl::OkStatus();
}

int64_t Cast::PagesFor(const ModelConfig& shape) const {
  const proto::RolloutConfig& rollout = config_.rollout();
  if (rollout.kv_cache_mb() == 0) return CachePages(shape.context, rollout.max_batch());
  // On the CPU the cache is float32 whatever the precision. Where auto finds a GPU, half of the memory stays free.
  const bool halves = rollout.device() == proto::CUDA && rollout.precision() == proto::RolloutConfig::BF16;
  return CachePagesWithin(shape, rollout.kv_cache_mb(), halves ? 2 : 4);
}

void Cast::Seat(const std::string& role, const std::string& engine, const Language* language) {
  TANDEM_CHECK(engine.empty() || engines_.contains(engine));
  players_.push_back(engine.empty() ? MakeScriptedPlayer(/*corrupt=*/0) : MakeEnginePlayer(engines_.at(engine).get()));
  const std::string policy = PolicyOfRole(config_, role);
  seated_.seats.emplace_back(role, policy, language != nullptr ? language : source(policy).language.get(),
                             players_.back().get(), MaxNewTokens(role));
}

absl::Status Cast::SeatRemote(const std::string& role, const proto::RemoteConfig& config) {
  auto url = ParseRemoteUrl(config.url());
  if (!url.ok()) return Annotate(url.status(), absl::StrCat("roles.", role, ".remote.url"));
  // A key that is missing is found before a run begins; a replay asks nothing, and needs none.
  auto player = std::make_unique<RemotePlayer>(RemoteModel(config, *std::move(url), RemoteKey(config).value_or("")));
  remotes_.push_back(player.get());
  players_.push_back(std::move(player));
  // The language is of no account: the turn is text.
  seated_.seats.emplace_back(role, /*policy=*/"", sources_.begin()->second.language.get(), players_.back().get(),
                             MaxNewTokens(role));
  return absl::OkStatus();
}

size_t Cast::asked() const {
  size_t asked = 0;
  for (const RemotePlayer* remote : remotes_) asked += remote->waiting();
  return asked;
}

void Cast::WaitForRemote(double timeout_s) {
  for (RemotePlayer* remote : remotes_) {
    if (remote->waiting() > 0) return remote->Wait(timeout_s);
  }
}

absl::Status Cast::RemoteStatus() const {
  absl::Status status;
  for (const RemotePlayer* remote : remotes_) status.Update(remote->status());
  return status;
}

int32_t Cast::MaxNewTokens(const std::string& role) const {
  return static_cast<int32_t>(role == kPlannerRole ? config_.rollout().max_plan_tokens()
                                                   : config_.rollout().max_step_tokens());
}

int64_t Cast::Step() {
  if (timers_) timers_->FireDue();
  for (RemotePlayer* remote : remotes_) remote->Deliver();
  int64_t tokens = 0;
  for (auto& [name, engine] : engines_) tokens += engine->Step();
  return tokens;
}

size_t Cast::live() const {
  size_t live = 0;
  for (const auto& [name, engine] : engines_) live += engine->live();
  return live;
}

bool Cast::ReadyFor(const proto::Ticket& ticket) const {
  if (ticket.purpose() == proto::SFT) return true;
  for (const auto& [name, engine] : engines_) {
    if (!engine->has_weights()) return false;
  }
  for (const proto::TicketLimit& limit : ticket.limits()) {
    const auto found = engines_.find(limit.policy());
    if (found == engines_.end()) continue;  // a policy that plays no role here
    if (found->second->version() < VersionId{limit.least().incarnation(), limit.least().number()}) return false;
    for (const proto::VersionRun& writer : limit.writers()) {
      if (!found->second->Holds({writer.version().incarnation(), writer.version().number()})) return false;
    }
  }
  return true;
}

}  // namespace tandem
