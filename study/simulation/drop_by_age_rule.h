// Nothing is waited for, what is too old is thrown away: prime-rl, src/prime_rl/orchestrator.
//
// - dispatcher.py: groups are started whenever there is a free place; with each version that is applied, those being
//   played that were started more than max_off_policy_steps (here: the bound) versions before are cancelled.
// - queue.py: finished groups are cut into batches in the order in which they finish, and shipped to the trainer; those
//   that could only be trained on beyond the bound, counted in batches shipped, are thrown away.
// - orchestrator.py, update_dispatch_gate: nothing is started while the batches shipped are more than TARGET_LAG = 1
//   ahead of the version that is applied.
//
// So no group is trained on beyond the bound, counted from the version that it was started with.
#pragma once

#include <deque>
#include <map>
#include <utility>

#include "study/simulation/admission_rule.h"

namespace tandem {

class DropByAgeRule final : public AdmissionRule {
 public:
  explicit DropByAgeRule(const RuleOptions& options) : options_(options) {}

  bool Admits() const override { return shipped_ - version_ <= kTargetLag; }
  void Started(uint64_t group, int64_t version) override { started_[group] = version; }
  void Finished(uint64_t group) override {
    const int64_t version = started_.at(group);
    started_.erase(group);
    if (shipped_ - version > options_.bound) return left_out_.push_back(group);
    ready_.push_back(group);
    if (ready_.size() < options_.groups_per_step) return;
    batches_.push_back(std::exchange(ready_, {}));
    ++shipped_;
  }
  std::optional<Groups> TakeBatch() override {
    if (batches_.empty()) return std::nullopt;
    Groups batch = std::move(batches_.front());
    batches_.pop_front();
    return batch;
  }
  Groups Installed(int64_t version) override {
    version_ = version;
    Groups cancelled;
    for (auto it = started_.begin(); it != started_.end();) {
      if (version - it->second <= options_.bound) {
        ++it;
        continue;
      }
      cancelled.push_back(it->first);
      it = started_.erase(it);
    }
    return cancelled;
  }
  Groups TakeLeftOut() override { return std::exchange(left_out_, {}); }

 private:
  static constexpr int64_t kTargetLag = 1;

  const RuleOptions options_;
  int64_t version_ = 0;
  int64_t shipped_ = 0;                  // batches
  std::map<uint64_t, int64_t> started_;  // groups being played, by the version they were started with
  Groups ready_;                         // finished, in that order, and in no batch yet
  std::deque<Groups> batches_;           // shipped, not trained on yet
  Groups left_out_;
};

}  // namespace tandem
