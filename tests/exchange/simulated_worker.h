// A worker of a simulation: asks for tickets, fetches weights, plays groups of random lengths, swaps versions in the
// middle of turns, repeats submissions, dies, or is believed dead and comes back with what it has.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/exchange/simulation.h"

namespace tandem {

class SimulatedWorker {
 public:
  SimulatedWorker(Simulation* sim, int index);

  // An announcement reaches the worker, if it hears it.
  void Heard(const proto::Announcement& announcement);

 private:
  void Connect();
  void End();
  void Ask();
  bool ReadyFor(const proto::Ticket& ticket);
  void StartWaiting();
  void Fetch(const std::string& policy, uint32_t least);
  void FetchChunk(const proto::WeightsBegin& begin, uint32_t index, const std::string& bytes);
  void Install(const proto::WeightsBegin& begin, const std::string& bytes);
  void Play(const std::shared_ptr<const proto::Ticket>& ticket);
  std::shared_ptr<const wire::Packet> Finish(const proto::Ticket& ticket, const std::map<std::string, uint32_t>& start);
  void AddTurn(const proto::Ticket& ticket, const std::string& policy, const std::map<std::string, uint32_t>& start,
               proto::Episode* episode);
  void Submit(const std::shared_ptr<const wire::Packet>& group);

  Simulation& sim_;
  std::string name_;
  wire::SessionId session_ = 0;  // 0: not connected
  uint64_t life_ = 0;            // counts deaths
  std::map<std::string, uint32_t> installed_;
  std::map<std::string, bool> fetching_;
  std::vector<std::shared_ptr<const proto::Ticket>> waiting_;
  int playing_ = 0;
  bool asked_ = false;
};

}  // namespace tandem
