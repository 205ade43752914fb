// What a schedule is played with: one seed and these numbers give one course of events.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/config.pb.h"

namespace tandem {

struct Scenario {
  uint64_t seed = 0;  // of delays, durations and faults; the run's own seed is in the configuration
  proto::Config config;
  int workers = 2;
  double delay_s = 0.01;                 // mean, of a message
  double episode_s = 1;                  // typical; the tail is heavy
  std::map<std::string, double> step_s;  // of a trainer; a policy without entry: its trainer never asks for a batch
  double stall = 0;                      // probability that a step takes 50 times as long
  double non_finite = 0;                 // probability that a step is not taken
  double lifetime_s = 1e9;               // mean, of a worker
  double repeat = 0;                     // probability that a group is submitted once more
  double hears = 0.7;                    // probability that a worker hears an announcement
  double without_executor = 0.1;         // probability that a group has tokens of the first policy only
  double exchange_dies = 0;              // probability, at every event; another one goes on from its journal
  double trainer_dies = 0;               // probability, at every step; it goes on from a checkpoint
  bool obedient = true;                  // workers fetch a ticket's least versions before they start it
};

// Their names in one order: that of a protobuf map differs from process to process.
std::vector<std::string> PoliciesOf(const proto::Config& config);

// "seed=5 workers=2 ... step_s.planner=0.1 config: train { ... }", in one line; and the scenario of such a line, in
// which what is left out keeps its default. kInvalidArgument names what cannot be read.
std::string ToText(const Scenario& scenario);
absl::StatusOr<Scenario> ScenarioOf(const std::string& text);

}  // namespace tandem
