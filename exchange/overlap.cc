#include "exchange/overlap.h"

namespace tandem {

void Overlap::Start(double now, bool generating, bool training) {
  running_ = true;
  since_ = now;
  generating_ = generating;
  training_ = training;
}

void Overlap::Update(double now, bool generating, bool training) {
  if (!running_ || (generating == generating_ && training == training_)) return;
  AddUp(now);
  generating_ = generating;
  training_ = training;
}

void Overlap::Stop(double now) {
  if (!running_) return;
  AddUp(now);
  running_ = false;
}

void Overlap::AddUp(double now) {
  const double passed = now - since_;
  since_ = now;
  wall_s_ += passed;
  if (generating_) generating_s_ += passed;
  if (training_) training_s_ += passed;
  if (generating_ && training_) both_s_ += passed;
}

proto::OverlapMetrics Overlap::Metrics() const {
  proto::OverlapMetrics m;
  m.set_share(wall_s_ > 0 ? both_s_ / wall_s_ : 0);
  m.set_wall_s(wall_s_);
  m.set_generating_s(generating_s_);
  m.set_training_s(training_s_);
  return m;
}

}  // namespace tandem
