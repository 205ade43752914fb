#include "launch/replay.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "launch/repeated_team.h"
#include "rollout/play_tickets.h"
#include "rollout/repeat.h"

namespace tandem {
namespace {

absl::Status Different(const std::string& what) { return absl::DataLossError(absl::StrCat("different: ", what)); }

class Repetition final : public JournalWalk {
 public:
  Repetition(JournaledRun run, RepeatedTeam team) : JournalWalk(std::move(run)), team_(std::move(team)) {}

  const Replayed& replayed() const { return replayed_; }

  std::vector<wire::Frame> KeptWeights(const std::string& policy) override { return team_.WeightsOf(policy); }

 private:
  void OnBatch(TrainingBatch batch) override {
    const std::string policy = batch.header.policy();
    team_.policy(policy).Given(std::move(batch));
  }
  absl::Status OnSftStep(const std::string& policy, const proto::StepDone& done) override {
    const absl::Status status = team_.policy(policy).FinishSftStep(done);
    replayed_.steps = team_.steps();
    return status;
  }
  absl::Status OnCommit(const std::string& policy, const proto::WeightsCommit& commit) override {
    TANDEM_ASSIGN_OR_RETURN(const bool is_new, team_.Commit(policy, commit));
    replayed_.versions += is_new ? 1 : 0;
    replayed_.steps = team_.steps();
    return absl::OkStatus();
  }
  absl::Status OnGroup(const GroupPtr& group) override {
    if (group->header.ticket().purpose() == proto::SFT) return CheckScripted(*group);
    Repeated repeated;
    const absl::Status status = RepeatTurns(group->header, group->frames, team_.cast().engines(), &repeated);
    if (!status.ok()) return Different(std::string(status.message()));
    replayed_.turns += repeated.turns;
    replayed_.tokens += repeated.tokens;
    return absl::OkStatus();
  }

  // What a script says follows from the ticket.
  absl::Status CheckScripted(const ArrivedGroup& group) {
    return PlayTickets(team_.cast(), {group.header.ticket()}, 1, [&](const PlayedGroup& played) {
      for (size_t i = 0; i < group.frames.size(); ++i) {
        if (*played.frames.at(i) == *group.frames[i]) continue;
        return Different(absl::StrCat("ticket ", group.header.ticket().id(), ": a script says something else now"));
      }
      return absl::OkStatus();
    });
  }

  RepeatedTeam team_;
  Replayed replayed_;
};

}  // namespace

absl::StatusOr<Replayed> Replay(const ReplayRequest& request, const std::function<void(const Replayed&)>& progress) {
  TANDEM_ASSIGN_OR_RETURN(JournaledRun run, OpenJournaledRun(request.run, request.incarnation));
  TANDEM_ASSIGN_OR_RETURN(RepeatedTeam team, RepeatedTeam::Open(run, run.loaded.config, /*exact=*/true));
  Repetition repetition(std::move(run), std::move(team));
  TANDEM_RETURN_IF_ERROR(repetition.Walk([&](double done) {
    Replayed so_far = repetition.replayed();
    so_far.done = done;
    progress(so_far);
  }));
  return repetition.replayed();
}

}  // namespace tandem
