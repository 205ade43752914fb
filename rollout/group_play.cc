#include "rollout/group_play.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "rollout/episode/plan_execute.h"

namespace tandem {
namespace {

constexpr uint64_t kReadableEvaluations = 20;

Readable ReadableEpisode(const proto::Ticket& ticket, size_t index) {
  switch (ticket.purpose()) {
    case proto::TRAIN:
      return index == 0 ? Readable::kYes : Readable::kIfMixed;
    case proto::EVAL:
      return ticket.task() < kReadableEvaluations ? Readable::kYes : Readable::kNo;
    default:
      return Readable::kNo;
  }
}

// Lag injection: who reads in the rows of a turn. The row of a prompt's last token gives the first token of output.
Readers ReadersFor(const proto::Ticket& ticket, const std::string& policy, size_t prompt) {
  Readers readers;
  for (const proto::TicketLimit& limit : ticket.limits()) {
    if (limit.policy() != policy) continue;
    for (const proto::VersionRun& writer : limit.writers()) {
      const uint32_t rows = writer.count() + (readers.empty() ? static_cast<uint32_t>(prompt) - 1 : 0);
      readers.push_back({{writer.version().incarnation(), writer.version().number()}, rows});
    }
  }
  return readers;
}

}  // namespace

GroupPlay::GroupPlay(proto::Ticket ticket, Task task) : ticket_(std::move(ticket)), task_(std::move(task)) {}

absl::StatusOr<std::unique_ptr<GroupPlay>> GroupPlay::Start(const Cast& cast, proto::Ticket ticket, ReadersOf readers) {
  if (!cast.ReadyFor(ticket)) {
    return absl::FailedPreconditionError(
        absl::StrCat("ticket ", ticket.id(), ": an engine is older than the least version that the ticket asks for"));
  }
  TANDEM_ASSIGN_OR_RETURN(Task task, cast.setting().environment.MakeTask(ticket.split(), ticket.task()));
  std::unique_ptr<GroupPlay> play(new GroupPlay(std::move(ticket), std::move(task)));
  const proto::Ticket& t = play->ticket_;
  const Team& team = cast.team(t.purpose());
  play->unfinished_ = static_cast<int>(t.episodes());
  const bool lagged =
      std::any_of(t.limits().begin(), t.limits().end(), [](const auto& l) { return l.writers_size() > 0; });
  if (lagged && !readers) {
    readers = [&t](uint32_t, const Seat& seat, uint32_t, size_t prompt) {
      return Reading{{}, ReadersFor(t, seat.policy, prompt)};
    };
  }
  play->episodes_.reserve(t.episodes());
  for (uint32_t i = 0; i < t.episodes(); ++i) {
    EpisodeStart start;
    start.index = i;
    start.seed = t.seed();
    start.temperature = t.temperature();
    start.measured = t.purpose() == proto::EVAL;
    start.scripted = t.purpose() == proto::SFT;
    start.readers = readers;
    play->episodes_.push_back(std::make_unique<Episode>(cast.setting(), team, play->task_, start));
    play->episodes_.back()->Play(&PlanExecute, &play->unfinished_);
  }
  return play;
}

absl::StatusOr<PlayedGroup> GroupPlay::Finish() {
  TANDEM_CHECK(done());
  PlayedGroup played;
  std::vector<TurnTokens> tokens;
  tokens.reserve(episodes_.size() * 5);
  played.group.set_format(kGroupFormat);
  played.group.mutable_episodes()->Reserve(static_cast<int>(episodes_.size()));
  for (size_t i = 0; i < episodes_.size(); ++i) {
    TANDEM_RETURN_IF_ERROR(Annotate(episodes_[i]->status(), absl::StrCat("ticket ", ticket_.id())));
    episodes_[i]->Record(ReadableEpisode(ticket_, i), played.group.add_episodes(), &tokens);
  }
  *played.group.mutable_ticket() = std::move(ticket_);
  played.frames = PackFrames(tokens);
  return played;
}

}  // namespace tandem
