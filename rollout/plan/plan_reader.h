// Reads a plan while it is written.
#pragma once

#include <bitset>
#include <functional>
#include <string>
#include <string_view>

#include "rollout/plan/plan.h"

namespace tandem {

// Fed in any pieces, it comes to the same plan and the same fault. A malformed plan is a fault, never an error.
class PlanReader {
 public:
  using StepCheck = std::function<bool(std::string_view step)>;  // of the environment: is the step well-formed?

  // Plans of more than `max_nodes` nodes are faulty.
  PlanReader(int max_nodes, StepCheck step_is_well_formed);

  // The next character, or several. A node is in plan() as soon as its ';' was read.
  void Feed(char c);
  void Feed(std::string_view text);

  // The turn is over: by itself (`finished`), or cut by its length. To be called once, after which nothing may be fed.
  void End(bool finished);

  // The nodes read until now; those before a fault stay.
  const Plan& plan() const { return plan_; }

  // Known as soon as it shows; but whether a reference is unknown or forward, only after End.
  bool faulty() const { return fault_ != PlanFault::kNone; }
  PlanFault fault() const { return fault_; }
  const std::string& detail() const { return detail_; }  // for people: "character 7: expected = after the name B"

 private:
  enum class State { kName, kEquals, kStep };

  void ReadName(char c);
  void ReadEquals(char c);
  void FinishStep();
  void AddInput(Node& node, int input);
  int Find(char name) const;  // -1: no node of this name
  void SetFault(PlanFault fault, std::string detail);
  void WatchForName(char c);

  const int max_nodes_;
  const StepCheck step_is_well_formed_;
  Plan plan_;
  State state_ = State::kName;
  char name_ = 0;     // of the node being read
  std::string step_;  // of the node being read
  int read_ = 0;      // characters
  PlanFault fault_ = PlanFault::kNone;
  std::string detail_;
  char undefined_ = 0;  // the reference at fault, which may still turn out to be a forward one
  char last_ = ';';     // the two characters before, once the plan is faulty
  char before_last_ = 0;
};

}  // namespace tandem
