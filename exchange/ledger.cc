#include "exchange/ledger.h"

#include "base/status.h"

namespace tandem {

void Ledger::Issue(uint32_t episodes) {
  issued_ += episodes;
  in_flight_ += episodes;
  Check();
}

void Ledger::Arrive(uint32_t episodes) {
  TANDEM_CHECK(in_flight_ >= episodes);
  in_flight_ -= episodes;
  buffered_ += episodes;
  Check();
}

void Ledger::Train(uint32_t episodes) {
  TANDEM_CHECK(buffered_ >= episodes);
  buffered_ -= episodes;
  trained_ += episodes;
  Check();
}

void Ledger::RejectBuffered(uint32_t episodes, const std::string& reason) {
  TANDEM_CHECK(buffered_ >= episodes);
  buffered_ -= episodes;
  rejected_[reason] += episodes;
  Check();
}

void Ledger::RejectInFlight(uint32_t episodes, const std::string& reason) {
  TANDEM_CHECK(in_flight_ >= episodes);
  in_flight_ -= episodes;
  rejected_[reason] += episodes;
  Check();
}

uint64_t Ledger::rejected() const {
  uint64_t sum = 0;
  for (const auto& [reason, episodes] : rejected_) sum += episodes;
  return sum;
}

void Ledger::Check() const { TANDEM_CHECK(issued_ == trained_ + in_flight_ + buffered_ + rejected()); }

proto::LedgerMetrics Ledger::Metrics() const {
  proto::LedgerMetrics m;
  m.set_policy(policy_);
  m.set_issued(issued_);
  m.set_trained(trained_);
  m.set_in_flight(in_flight_);
  m.set_buffered(buffered_);
  m.set_rejected(rejected());
  for (const auto& [reason, episodes] : rejected_) (*m.mutable_rejected_by_reason())[reason] = episodes;
  m.set_duplicates_total(duplicates_);
  m.set_reissued_total(reissued_);
  return m;
}

}  // namespace tandem
