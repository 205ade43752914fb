// The run's time in equal bins, and what happened in each: records that cover an interval are spread over the bins.
#pragma once

#include <cstddef>
#include <vector>

#include "study/json.h"

namespace tandem {

class Timeline {
 public:
  // From 0 to end_s seconds in at most `bins` bins of a round width (0.5, 1, 2, 5, 10, ... seconds).
  Timeline(double end_s, size_t bins);

  double width_s() const { return width_; }
  size_t bins() const { return bins_; }

  // One quantity over time.
  struct Track {
    std::vector<double> sum;      // [bins] of what was added, in units of rate x seconds
    std::vector<double> covered;  // [bins] seconds that records spoke for
  };
  Track NewTrack() const { return {std::vector<double>(bins_, 0.0), std::vector<double>(bins_, 0.0)}; }

  // The quantity was `rate` (per second, or a share) from from_s to to_s. What lies outside is cut; not finite:
  // ignored.
  void Add(double from_s, double to_s, double rate, Track& track) const;

  // [bins] of the mean over the time covered, null where nothing was: for rates and shares.
  Json Mean(const Track& track) const;
  // [bins] of the total: for counts.
  Json Total(const Track& track) const;

 private:
  double end_;
  double width_;
  size_t bins_;
};

}  // namespace tandem
