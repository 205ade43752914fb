// Batches in the order of issue, within a window: torchtitan, torchtitan/experiments/rl/docs/windowed_fifo.md and
// components/work_buffer.py (after section 6.2.4 of arXiv:2605.26494).
//
// At most A = (bound + 1) * groups_per_step groups are active: started, and not yet trained on with the version that
// came of it installed. The next group of a batch is the oldest finished one among the W = max(1, floor(0.3 * A)) that
// were started from the oldest group on that is in no batch yet. A group is then trained on at an age of at most bound
// + ceil((W - 1) / groups_per_step): the bound is a target that a slow group may miss by as much.
#pragma once

#include <algorithm>
#include <map>
#include <utility>

#include "study/simulation/admission_rule.h"

namespace tandem {

class WindowedFifoRule final : public AdmissionRule {
 public:
  explicit WindowedFifoRule(const RuleOptions& options)
      : options_(options),
        most_((options.bound + uint64_t{1}) * options.groups_per_step),
        window_(std::max<uint64_t>(1, static_cast<uint64_t>(kWindowFraction * static_cast<double>(most_)))) {}

  bool Admits() const override { return active_ < most_; }
  void Started(uint64_t group, int64_t) override {
    ++active_;
    waiting_[group] = false;
  }
  void Finished(uint64_t group) override {
    waiting_.at(group) = true;
    Take();
  }
  std::optional<Groups> TakeBatch() override {
    if (taken_.size() < options_.groups_per_step) return std::nullopt;
    const auto end = taken_.begin() + options_.groups_per_step;
    Groups batch(taken_.begin(), end);
    taken_.erase(taken_.begin(), end);
    return batch;
  }
  Groups Installed(int64_t version) override {
    if (version > 0) active_ -= options_.groups_per_step;
    return {};
  }

 private:
  static constexpr double kWindowFraction = 0.3;  // its default

  // Each group that is taken may bring the window forward.
  void Take() {
    for (auto it = waiting_.begin(); it != waiting_.end() && it->first < waiting_.begin()->first + window_;) {
      if (!it->second) {
        ++it;
        continue;
      }
      taken_.push_back(it->first);
      waiting_.erase(it);
      it = waiting_.begin();
    }
  }

  const RuleOptions options_;
  const uint64_t most_, window_;
  uint64_t active_ = 0;
  std::map<uint64_t, bool> waiting_;  // groups in no batch yet, and whether they are finished
  Groups taken_;                      // in batches, in that order
};

}  // namespace tandem
