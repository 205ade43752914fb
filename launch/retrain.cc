#include "launch/retrain.h"

#include <google/protobuf/util/message_differencer.h>

#include <ctime>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "exchange/evaluation.h"
#include "exchange/metrics_writer.h"
#include "exchange/sample_episodes.h"
#include "launch/repeated_team.h"
#include "launch/run_folder.h"
#include "rollout/repeat.h"
#include "study/report.h"

namespace tandem {
namespace {

class Retraining final : public JournalWalk {
 public:
  Retraining(JournaledRun run, RepeatedTeam team, std::unique_ptr<MetricsWriter> metrics,
             std::unique_ptr<SampleEpisodes> samples)
      : JournalWalk(std::move(run)),
        team_(std::move(team)),
        metrics_(std::move(metrics)),
        samples_(std::move(samples)) {}

  RepeatedTeam& team() { return team_; }

  std::vector<wire::Frame> KeptWeights(const std::string& policy) override { return team_.WeightsOf(policy); }
  void Metrics(std::string_view kind, const google::protobuf::Message& values, double now) override {
    if (kind == "step") {
      const auto& recorded = static_cast<const proto::StepMetrics&>(values);
      proto::StepMetrics line = team_.policy(recorded.policy()).metrics();
      line.set_policy(recorded.policy());
      line.set_step(recorded.step());
      line.set_version(recorded.version());
      line.set_staleness_bound(recorded.staleness_bound());
      return metrics_->Write(kind, line, now);
    }
    if (kind == "eval") {
      proto::EvalMetrics line = std::exchange(evaluation_, NewEvaluation()).Metrics();
      line.set_stage(static_cast<const proto::EvalMetrics&>(values).stage());
      return metrics_->Write(kind, line, now);
    }
    metrics_->Write(kind, values, now);
  }
  void Sample(const proto::Group& group, uint32_t step, double now) override {
    const auto played = played_.find(group.ticket().id());
    if (played != played_.end()) samples_->Look(played->second->header, step, now);
    if (group.ticket().purpose() == proto::EVAL) played_.erase(group.ticket().id());
  }

 private:
  // Those that were played now, in the places of those that were recorded.
  void OnBatch(TrainingBatch batch) override {
    const std::string policy = batch.header.policy();
    if (batch.header.purpose() == proto::TRAIN) {
      const Lane& lane = exchange().lane(policy);
      // A past one, for a trainer that went on from a checkpoint, or the same for another of its calls.
      if (lane.batch() == nullptr || lane.batch()->step() != batch.header.step()) return;
      std::vector<Batcher::Entry> entries;
      for (const proto::Group& group : batch.header.groups()) {
        const GroupPtr& played = played_.at(group.ticket().id());
        entries.push_back({kNeverDue, VersionsOf(played->header, policy, lane.incarnation()), played});
      }
      const auto& versions = batch.header.groups(0).at_batch();
      const std::vector<proto::PolicyVersion> at_batch(versions.begin(), versions.end());
      batch.header.clear_groups();
      batch.frames.clear();
      FillBatch(entries, at_batch, lane.cut_s(), lane.incarnation(), lane.masked(), &batch.header, &batch.frames);
    }
    team_.policy(policy).Given(std::move(batch));
  }
  absl::Status OnSftStep(const std::string& policy, const proto::StepDone& done) override {
    return team_.policy(policy).FinishSftStep(done);
  }
  absl::Status OnCommit(const std::string& policy, const proto::WeightsCommit& commit) override {
    TANDEM_ASSIGN_OR_RETURN(const bool is_new, team_.Commit(policy, commit));
    const Lane& lane = exchange().lane(policy);
    if (!is_new || lane.batch() == nullptr) return absl::OkStatus();
    for (const Batcher::Entry& entry : lane.batch_groups()) {
      const proto::Ticket& ticket = entry.group->header.ticket();
      if (++consumed_[ticket.id()] < LanesOf(ticket)) continue;
      consumed_.erase(ticket.id());
      played_.erase(ticket.id());
    }
    return absl::OkStatus();
  }
  absl::Status OnGroup(const GroupPtr& group) override {
    if (group->header.ticket().purpose() == proto::SFT) return absl::OkStatus();  // a script's, as recorded
    TANDEM_ASSIGN_OR_RETURN(PlayedGroup again, PlayAgain(team_.cast(), group->header));
    auto played = std::make_shared<ArrivedGroup>(*group);
    *played->header.mutable_episodes() = std::move(*again.group.mutable_episodes());
    played->frames = std::move(again.frames);
    if (group->header.ticket().purpose() == proto::EVAL) {
      for (const proto::Episode& episode : played->header.episodes()) evaluation_.Add(episode);
    }
    played_[group->header.ticket().id()] = std::move(played);
    return absl::OkStatus();
  }

  // Policies that train on the ticket's group.
  static uint32_t LanesOf(const proto::Ticket& ticket) {
    uint32_t lanes = 0;
    for (const proto::TicketLimit& limit : ticket.limits()) lanes += limit.consume_by() != UINT32_MAX;
    return lanes;
  }
  Evaluation NewEvaluation() const { return {"", run().loaded.config.evaluation().temperature()}; }

  RepeatedTeam team_;
  std::unique_ptr<MetricsWriter> metrics_;
  std::unique_ptr<SampleEpisodes> samples_;
  std::map<uint64_t, std::shared_ptr<ArrivedGroup>> played_;  // by ticket, until all that train on it have
  std::map<uint64_t, uint32_t> consumed_;                     // by how many policies
  Evaluation evaluation_ = NewEvaluation();
};

// Another loss would have a remote model asked other things, and only what it said then is known.
absl::Status CheckNothingRemote(const proto::Config& config) {
  for (const auto& [role, bound] : config.roles()) {
    if (!bound.has_remote()) continue;
    return absl::InvalidArgumentError(absl::StrCat("roles.", role, ".remote: --schedule-only would have to ask ",
                                                   bound.remote().url(),
                                                   " what it was not asked then; a replay without it repeats the run"));
  }
  return absl::OkStatus();
}

// Keys without a policy are those of all policies.
std::vector<std::string> ForAllPolicies(const std::vector<std::string>& sets, const proto::Config& config) {
  std::vector<std::string> expanded;
  for (std::string set : sets) {
    if (absl::StartsWith(set, "loss=")) set = absl::StrCat("loss.name=", set.substr(5));
    const bool of_a_policy =
        absl::StartsWith(set, "loss.") || absl::StartsWith(set, "optimizer.") || absl::StartsWith(set, "advantage.");
    if (!of_a_policy) expanded.push_back(set);
    for (const std::string& policy : of_a_policy ? PolicyNames(config) : std::vector<std::string>()) {
      expanded.push_back(absl::StrCat("policies.", policy, ".", set));
    }
  }
  return expanded;
}

absl::Status CheckSameSchedule(proto::Config was, proto::Config is) {
  for (proto::Config* config : {&was, &is}) {
    for (auto& [name, policy] : *config->mutable_policies()) {
      policy.clear_loss();
      policy.clear_optimizer();
      policy.clear_advantage();
    }
  }
  google::protobuf::util::MessageDifferencer differencer;
  std::string differences;
  differencer.ReportDifferencesToString(&differences);
  if (differencer.Compare(was, is)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--schedule-only: only loss, optimizer and advantage of a policy can be changed; found ", differences));
}

}  // namespace

absl::StatusOr<std::string> Retrain(const RetrainRequest& request, const std::function<void(double)>& progress) {
  TANDEM_ASSIGN_OR_RETURN(JournaledRun run, OpenJournaledRun(request.run, request.incarnation));
  const std::vector<std::string> sets = ForAllPolicies(request.sets, run.loaded.config);
  TANDEM_ASSIGN_OR_RETURN(LoadedConfig loaded,
                          LoadConfig({.file = run.config, .sets = sets, .seed = {}, .resolved = true}));
  TANDEM_RETURN_IF_ERROR(CheckSameSchedule(run.loaded.config, loaded.config));
  TANDEM_RETURN_IF_ERROR(CheckNothingRemote(loaded.config));
  TANDEM_ASSIGN_OR_RETURN(RepeatedTeam team, RepeatedTeam::Open(run, loaded.config, /*exact=*/false));

  std::string folder;
  if (request.run_dir.empty()) {
    const std::string name = absl::StrCat(loaded.config.name(), "-schedule");
    TANDEM_ASSIGN_OR_RETURN(folder, MakeRunFolder("runs", name, std::time(nullptr)));
  } else {
    TANDEM_ASSIGN_OR_RETURN(folder, MakeChosenRunFolder(request.run_dir));
  }
  const uint32_t incarnation = run.opening.incarnation();
  TANDEM_RETURN_IF_ERROR(FillRunFolder(folder, incarnation, &loaded));
  TANDEM_RETURN_IF_ERROR(NoteIncarnation(folder, incarnation));
  TANDEM_ASSIGN_OR_RETURN(auto metrics, MetricsWriter::Create(folder));
  TANDEM_ASSIGN_OR_RETURN(auto samples, SampleEpisodes::Create(folder, loaded.config.train().steps()));
  {
    Retraining retraining(std::move(run), std::move(team), std::move(metrics), std::move(samples));
    TANDEM_RETURN_IF_ERROR(retraining.Walk(progress));
    for (auto& [name, policy] : retraining.team().policies()) {
      TANDEM_ASSIGN_OR_RETURN(const Checkpoint checkpoint, policy->MakeCheckpoint());
      TANDEM_RETURN_IF_ERROR(WriteCheckpoint(folder, checkpoint, loaded.config.train().keep_checkpoints()));
    }
  }  // its files are closed
  TANDEM_RETURN_IF_ERROR(WriteReport(folder));
  return folder;
}

}  // namespace tandem
