#include "study/timeline.h"

#include <algorithm>
#include <cmath>

namespace tandem {
namespace {

double RoundWidth(double least) {
  for (double decade = 0.1;; decade *= 10) {
    for (const double digit : {1.0, 2.0, 5.0}) {
      if (const double width = digit * decade; width >= 0.5 && width >= least) return width;
    }
  }
}

}  // namespace

Timeline::Timeline(double end_s, size_t bins)
    : end_(std::max(end_s, 0.5)),
      width_(RoundWidth(end_ / static_cast<double>(bins))),
      bins_(static_cast<size_t>(std::ceil(end_ / width_))) {}

void Timeline::Add(double from_s, double to_s, double rate, Track& track) const {
  if (!std::isfinite(rate) || !std::isfinite(from_s) || !std::isfinite(to_s)) return;
  from_s = std::max(from_s, 0.0);
  to_s = std::min(to_s, end_);
  if (to_s <= from_s) return;
  for (auto bin = static_cast<size_t>(from_s / width_); bin < bins_; ++bin) {
    const double begin = static_cast<double>(bin) * width_;
    if (begin >= to_s) return;
    const double overlap = std::min(to_s, begin + width_) - std::max(from_s, begin);
    track.sum[bin] += rate * overlap;
    track.covered[bin] += overlap;
  }
}

Json Timeline::Mean(const Track& track) const {
  Json values = Json::array();
  for (size_t bin = 0; bin < bins_; ++bin) {
    const bool covered = track.covered[bin] > 0.02 * width_;
    values.push_back(covered ? Rounded(track.sum[bin] / track.covered[bin]) : Json());
  }
  return values;
}

Json Timeline::Total(const Track& track) const {
  Json values = Json::array();
  for (const double sum : track.sum) values.push_back(Rounded(sum));
  return values;
}

}  // namespace tandem
