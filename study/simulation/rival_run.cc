#include "study/simulation/rival_run.h"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "base/status.h"
#include "study/simulation/events.h"
#include "study/simulation/installed_versions.h"
#include "study/simulation/machine.h"
#include "study/simulation/virtual_worker.h"

namespace tandem {
namespace {

constexpr uint32_t kTokensOfPolicy = 64;  // in a group

class Rival {
 public:
  Rival(const VirtualRunOptions& options, AdmissionRule* rule)
      : options_(options),
        rule_(*rule),
        work_(options.work ? *options.work : GivenLatencies(options)),
        machine_(&events_, options.cores),
        random_(options.config.seed()),
        bound_(RuleOptionsOf(options.config).bound) {}

  absl::StatusOr<RivalRun> Run() {
    for (uint32_t i = 0; i < options_.workers; ++i) {
      workers_.push_back(std::make_unique<VirtualWorker>(&events_, &machine_, &work_));
    }
    free_.assign(options_.workers, options_.config.rollout().groups_in_play());
    versions_.Install(0);
    rule_.Installed(0);
    Fill();
    while (trained_ < options_.config.train().steps()) {
      if (events_.empty()) return absl::DeadlineExceededError("the run stands still under this rule");
      AddUp(events_.next_s() - events_.now_s());
      events_.RunNext();
    }
    return Result();
  }

 private:
  struct Group {
    uint32_t worker = 0;
    uint64_t number = 0;  // at its worker
    double start_s = 0, end_s = 0;
  };

  bool measuring() const { return trained_ >= options_.warm_up_share * options_.config.train().steps(); }
  double Progress() const { return trained_ / std::max(1.0, 1.0 * options_.config.train().steps()); }

  // Starts what may be started, each at the worker that plays least.
  void Fill() {
    while (rule_.Admits()) {
      const auto most = std::ranges::max_element(free_);
      if (*most == 0) return;
      --*most;
      Start(static_cast<uint32_t>(most - free_.begin()));
    }
  }

  void Start(uint32_t worker) {
    const uint64_t id = next_group_++;
    Group& group = groups_[id];
    group.worker = worker;
    group.start_s = events_.now_s();
    ++playing_;
    rule_.Started(id, versions_.At(events_.now_s()));
    group.number = workers_[worker]->Play(work_.group(Progress(), random_), [this, id] {
      // Whoever takes groups in shares the cores; nobody waits for it.
      if (work_.exchange_cpu_s > 0) machine_.Start(work_.exchange_cpu_s, /*threads=*/1, [] {});
      Finish(id);
    });
  }

  void Finish(uint64_t id) {
    Group& group = groups_.at(id);
    group.end_s = events_.now_s();
    ++free_[group.worker];
    --playing_;
    rule_.Finished(id);
    CountLeftOut();
    TrainIfPossible();
    Fill();
  }

  void TrainIfPossible() {
    if (training_ > 0) return;
    const std::optional<AdmissionRule::Groups> batch = rule_.TakeBatch();
    if (!batch) return;
    for (const uint64_t id : *batch) {
      CountAges(groups_.at(id));
      groups_.erase(id);
    }
    if (measuring()) kept_ += batch->size();
    for (const auto& [policy, config] : options_.config.policies()) {
      const auto step = work_.step.find(policy);
      const StepWork work = step == work_.step.end() ? StepWork{} : step->second(Progress());
      ++training_;
      const auto trained = [this] {
        if (--training_ == 0) Publish();
      };
      if (work.cpu_s <= 0) {
        events_.After(work.wait_s, trained);
      } else {
        machine_.Start(work.cpu_s, work.threads, [this, work, trained] { events_.After(work.wait_s, trained); });
      }
    }
  }

  void CountAges(const Group& group) {
    if (!measuring()) return;
    const double whole_s = group.end_s - group.start_s;
    for (const auto& [policy, config] : options_.config.policies()) {
      const auto written = work_.written.find(policy);
      const WrittenSpan span = written == work_.written.end() ? WrittenSpan{} : written->second;
      versions_.Writers(group.start_s + span.from * whole_s, group.start_s + span.to * whole_s, kTokensOfPolicy,
                        [this](uint32_t version, uint32_t count) {
                          const uint32_t age = trained_ - version;
                          if (tokens_.size() <= age) tokens_.resize(age + 1);
                          tokens_[age] += count;
                        });
    }
  }

  void Publish() {
    const bool before = measuring();
    const int64_t version = ++trained_;
    versions_.Install(events_.now_s() + work_.publish_s);
    if (measuring() && !before) {
      began_s_ = events_.now_s();
      first_ = trained_;
    }
    const auto installed = [this, version] {
      for (const uint64_t id : rule_.Installed(version)) Cancel(id);
      CountLeftOut();
      TrainIfPossible();
      Fill();
    };
    work_.publish_s > 0 ? events_.After(work_.publish_s, installed) : installed();
    TrainIfPossible();
  }

  void Cancel(uint64_t id) {
    const Group& group = groups_.at(id);
    workers_[group.worker]->Cancel(group.number);
    ++free_[group.worker];
    --playing_;
    groups_.erase(id);
    if (measuring()) ++thrown_away_;
  }

  void CountLeftOut() {
    for (const uint64_t id : rule_.TakeLeftOut()) {
      groups_.erase(id);
      if (measuring()) ++thrown_away_;
    }
  }

  void AddUp(double seconds) {
    if (!measuring()) return;
    in_play_ += seconds * static_cast<double>(playing_);
    training_s_ += training_ > 0 ? seconds : 0;
  }

  RivalRun Result() const {
    RivalRun run;
    run.seconds = events_.now_s() - began_s_;
    const double seconds = std::max(run.seconds, 1e-12);
    run.groups_per_s = 1.0 * (trained_ - first_) * options_.config.train().groups_per_step() / seconds;
    run.in_play = in_play_ / seconds;
    run.training_share = training_s_ / seconds;
    double tokens = 0;
    for (const double count : tokens_) tokens += count;
    for (size_t age = 0; age < tokens_.size(); ++age) {
      const double share = tokens > 0 ? tokens_[age] / tokens : 0;
      run.age_share.push_back(share);
      if (age > bound_) run.over_bound_share += share;
    }
    const auto ended = static_cast<double>(kept_ + thrown_away_);
    run.thrown_away_share = ended > 0 ? static_cast<double>(thrown_away_) / ended : 0;
    return run;
  }

  const VirtualRunOptions& options_;
  AdmissionRule& rule_;
  const Workload work_;
  Events events_;
  Machine machine_;
  RandomStream random_;
  const uint32_t bound_;
  std::vector<std::unique_ptr<VirtualWorker>> workers_;
  std::vector<uint32_t> free_;        // places, by worker
  std::map<uint64_t, Group> groups_;  // that are played, or finished and wait
  InstalledVersions versions_;
  uint64_t next_group_ = 0, playing_ = 0;
  uint32_t training_ = 0;             // policies whose step is under way
  uint32_t trained_ = 0, first_ = 0;  // steps
  double began_s_ = 0, in_play_ = 0, training_s_ = 0;
  std::vector<double> tokens_;  // trained on, by age
  uint64_t kept_ = 0, thrown_away_ = 0;
};

}  // namespace

RuleOptions RuleOptionsOf(const proto::Config& config) {
  RuleOptions options{.bound = UINT32_MAX, .groups_per_step = config.train().groups_per_step()};
  for (const auto& [name, policy] : config.policies()) {
    options.bound = std::min(options.bound, policy.staleness().bound());
  }
  return options;
}

absl::StatusOr<RivalRun> RunRival(const VirtualRunOptions& options, AdmissionRule* rule) {
  return Rival(options, rule).Run();
}

}  // namespace tandem
