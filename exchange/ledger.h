// Where every unit (episode, policy) of one policy is: issued = trained + in flight + buffered + rejected, always.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "proto/metrics.pb.h"

namespace tandem {

// Counts of episodes. Every method that moves units checks the equation, and that no count falls below zero: a
// violation is a bug. Thread-compatible.
class Ledger {
 public:
  explicit Ledger(std::string policy) : policy_(std::move(policy)) {}

  void Issue(uint32_t episodes);   // -> in flight
  void Arrive(uint32_t episodes);  // in flight -> buffered; they stay there until their step is published
  void Train(uint32_t episodes);   // buffered -> trained
  void RejectBuffered(uint32_t episodes, const std::string& reason);
  void RejectInFlight(uint32_t episodes, const std::string& reason);
  void Reissue(uint32_t episodes) { reissued_ += episodes; }      // stays in flight: a repeated attempt keeps its unit
  void Duplicate(uint32_t episodes) { duplicates_ += episodes; }  // a second attempt that came too late

  uint64_t issued() const { return issued_; }
  uint64_t trained() const { return trained_; }
  uint64_t in_flight() const { return in_flight_; }
  uint64_t buffered() const { return buffered_; }
  uint64_t rejected() const;
  proto::LedgerMetrics Metrics() const;

 private:
  void Check() const;

  std::string policy_;
  uint64_t issued_ = 0, trained_ = 0, in_flight_ = 0, buffered_ = 0;
  uint64_t duplicates_ = 0, reissued_ = 0;
  std::map<std::string, uint64_t> rejected_;  // by reason
};

}  // namespace tandem
