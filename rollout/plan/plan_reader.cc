#include "rollout/plan/plan_reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace tandem {
namespace {

// One byte, which need not be a whole character.
std::string Quoted(char c) { return absl::StrCat("'", absl::CHexEscape(std::string(1, c)), "'"); }

}  // namespace

PlanReader::PlanReader(int max_nodes, StepCheck step_is_well_formed)
    : max_nodes_(max_nodes), step_is_well_formed_(std::move(step_is_well_formed)) {}

void PlanReader::Feed(std::string_view text) {
  for (char c : text) Feed(c);
}

void PlanReader::Feed(char c) {
  ++read_;
  if (faulty()) {
    WatchForName(c);
  } else if (state_ == State::kName) {
    ReadName(c);
  } else if (state_ == State::kEquals) {
    ReadEquals(c);
  } else if (c == ';') {
    FinishStep();
    state_ = State::kName;
  } else {
    step_ += c;
  }
  before_last_ = std::exchange(last_, c);
}

void PlanReader::ReadName(char c) {
  name_ = c;
  state_ = State::kEquals;
  if (!IsNodeName(c)) {
    SetFault(PlanFault::kSyntax, absl::StrCat("expected a capital letter, found ", Quoted(c)));
  } else if (static_cast<int>(plan_.nodes.size()) == max_nodes_) {
    SetFault(PlanFault::kTooManyNodes, absl::StrCat("more than ", max_nodes_, " nodes"));
  } else if (Find(c) >= 0) {
    SetFault(PlanFault::kDuplicate, absl::StrCat("there is a node ", Quoted(c), " already"));
  }
}

void PlanReader::ReadEquals(char c) {
  state_ = State::kStep;
  step_.clear();
  if (c != '=') SetFault(PlanFault::kSyntax, absl::StrCat("expected = after the name, found ", Quoted(c)));
}

void PlanReader::FinishStep() {
  if (!step_is_well_formed_(step_)) {
    return SetFault(PlanFault::kSyntax, absl::StrCat("\"", step_, "\" is not a step"));
  }
  Node node{name_, std::move(step_), {}};
  step_.clear();
  for (char c : node.step) {
    if (!IsNodeName(c)) continue;
    const int input = Find(c);
    if (input >= 0) {
      AddInput(node, input);
      continue;
    }
    undefined_ = c;
    const bool itself = c == name_;
    return SetFault(itself ? PlanFault::kForwardReference : PlanFault::kUnknownReference,
                    absl::StrCat("node ", Quoted(name_), " refers to ", Quoted(c)));
  }
  plan_.nodes.push_back(std::move(node));
}

void PlanReader::AddInput(Node& node, int input) {
  const auto place = std::lower_bound(node.inputs.begin(), node.inputs.end(), input);
  if (place == node.inputs.end() || *place != input) node.inputs.insert(place, input);
}

int PlanReader::Find(char name) const {
  for (size_t i = 0; i < plan_.nodes.size(); ++i) {
    if (plan_.nodes[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

// After an undefined reference: is its name defined further on? A definition is ";NAME=".
void PlanReader::WatchForName(char c) {
  if (fault_ == PlanFault::kUnknownReference && c == '=' && last_ == undefined_ && before_last_ == ';') {
    fault_ = PlanFault::kForwardReference;
  }
}

void PlanReader::SetFault(PlanFault fault, std::string detail) {
  if (faulty()) return;
  fault_ = fault;
  detail_ = absl::StrCat("character ", read_, ": ", detail);
}

void PlanReader::End(bool finished) {
  if (faulty()) return;
  if (read_ == 0) return SetFault(PlanFault::kUnfinished, "nothing was written");
  if (!finished) return SetFault(PlanFault::kUnfinished, "cut by its length");
  if (state_ != State::kStep) return SetFault(PlanFault::kSyntax, "the plan ends within a node");
  FinishStep();
}

}  // namespace tandem
