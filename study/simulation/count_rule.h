// Capacity by counting: a group is started while
//
//     running + accepted  <  (bound + version + 1) * groups_per_step,
//
// accepted being all that were ever finished. AReaL, areal/infra/staleness_manager.py (StalenessManager::get_capacity,
// after section 5.1 of arXiv:2505.24298), and SkyRL, skyrl_train/fully_async_trainer.py (_AsyncStalenessManager), which
// counts the version "being worked on", one higher, and leaves out the 1. The batch is the oldest of those that are
// finished (areal/infra/workflow_executor.py, wait_results). What it counts is how many groups there are, not which: a
// long one is overtaken by those that are admitted while it runs, and may be trained on at any age.
#pragma once

#include <algorithm>
#include <set>

#include "study/simulation/admission_rule.h"

namespace tandem {

class CountRule final : public AdmissionRule {
 public:
  explicit CountRule(const RuleOptions& options) : options_(options) {}

  bool Admits() const override {
    return running_ + accepted_ < (options_.bound + static_cast<uint64_t>(version_) + 1) * options_.groups_per_step;
  }
  void Started(uint64_t, int64_t) override { ++running_; }
  void Finished(uint64_t group) override {
    --running_;
    ++accepted_;
    finished_.insert(group);
  }
  std::optional<Groups> TakeBatch() override {
    if (finished_.size() < options_.groups_per_step) return std::nullopt;
    const auto end = std::next(finished_.begin(), options_.groups_per_step);
    Groups batch(finished_.begin(), end);
    finished_.erase(finished_.begin(), end);
    return batch;
  }
  Groups Installed(int64_t version) override {
    version_ = version;
    return {};
  }

 private:
  const RuleOptions options_;
  int64_t version_ = 0;
  uint64_t running_ = 0, accepted_ = 0;
  std::set<uint64_t> finished_;  // and not trained on yet
};

}  // namespace tandem
