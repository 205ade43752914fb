// Since when workers generate with which version of a policy.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "proto/message.pb.h"

namespace tandem {

class InstalledVersions {
 public:
  // The next version, from 0 on, is installed then: not before the one before it.
  void Install(double at_s) { since_s_.push_back(at_s); }
  double since_s(uint32_t version) const { return since_s_.at(version); }

  // The newest version that is installed by then.
  uint32_t At(double time_s) const {
    return static_cast<uint32_t>(std::ranges::upper_bound(since_s_, time_s) - since_s_.begin()) - 1;
  }

  // Calls writes(version, count) for each run of the `tokens` tokens that are spread evenly from start_s to end_s.
  template <typename Writes>
  void Writers(double start_s, double end_s, uint32_t tokens, Writes writes) const {
    uint32_t version = At(start_s);
    for (uint32_t done = 0; done < tokens; ++version) {
      const bool last = version + 1 == since_s_.size() || since_s_[version + 1] >= end_s;
      const double until_s = last ? end_s : since_s_[version + 1];
      const double share = end_s > start_s ? (until_s - start_s) / (end_s - start_s) : 1;
      const uint32_t end = last ? tokens : std::min(tokens, static_cast<uint32_t>(share * tokens));
      if (end == done && !last) continue;
      writes(version, end - done);
      done = end;
    }
  }

 private:
  std::vector<double> since_s_;
};

}  // namespace tandem
