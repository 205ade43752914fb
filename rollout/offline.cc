#include "rollout/offline.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "rollout/play_tickets.h"

namespace tandem {
namespace {

absl::Status SeatRole(Cast& cast, const std::string& role, const OfflineRun& run, const DecoderFactory& factory) {
  const auto found = run.roles.find(role);
  if (found == run.roles.end()) return absl::InvalidArgumentError("nobody plays it");
  const RoleBinding& binding = found->second;
  if (binding.oracle) {
    cast.Seat(role, /*engine=*/"");
    return absl::OkStatus();
  }
  if (binding.remote) return cast.SeatRemote(role, *binding.remote);
  TANDEM_RETURN_IF_ERROR(cast.AddEngine(role, binding.source->shape, factory));
  TANDEM_RETURN_IF_ERROR(cast.engines().at(role)->Install(binding.version, binding.weights));
  cast.Seat(role, role, binding.source->language.get());
  return absl::OkStatus();
}

std::vector<proto::Ticket> MakeTickets(const OfflineRun& run) {
  std::vector<proto::Ticket> tickets(run.episodes);
  for (uint64_t i = 0; i < run.episodes; ++i) {
    tickets[i].set_id(i);
    tickets[i].set_purpose(proto::EVAL);
    tickets[i].set_split(run.split);
    tickets[i].set_task(i);
    tickets[i].set_seed(MixKey(run.seed, i));
    tickets[i].set_episodes(1);
    tickets[i].set_temperature(run.temperature);
  }
  return tickets;
}

}  // namespace

absl::Status PlayEpisodes(const OfflineRun& run, const DecoderFactory& factory,
                          const std::function<void(proto::Episode)>& on_episode) {
  const RealClock clock;
  TANDEM_ASSIGN_OR_RETURN(std::unique_ptr<Cast> cast, Cast::Create(run.config, *run.environment, clock));
  for (const std::string_view name : {kPlannerRole, kExecutorRole}) {
    const std::string role(name);
    TANDEM_RETURN_IF_ERROR(Annotate(SeatRole(*cast, role, run, factory), absl::StrCat("role ", role)));
  }
  // Enough that the engines are full while some planners write and others wait for their executors.
  const size_t in_play = std::max<size_t>(1, 2 * run.config.rollout().max_batch());
  return PlayTickets(*cast, MakeTickets(run), in_play, [&](PlayedGroup played) {
    on_episode(std::move(*played.group.mutable_episodes(0)));
    return absl::OkStatus();
  });
}

}  // namespace tandem
