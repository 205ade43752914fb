// A plan: a graph of steps with placeholders, "A=3+4;B=A*2;C=B-5". What a step may look like is the environment's
// matter; the grammar is not: NAME=step;NAME=step..., a name is one capital letter, and a capital letter within a step
// refers to the result of the node of that name.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tandem {

inline bool IsNodeName(char c) { return c >= 'A' && c <= 'Z'; }

// One step, run when its inputs are there.
struct Node {
  char name;
  std::string step;         // "A*2"
  std::vector<int> inputs;  // indices of the nodes referred to, all smaller than this node's; ascending, each once
  bool operator==(const Node&) const = default;
};

struct Plan {
  std::vector<Node> nodes;  // as written
  bool operator==(const Plan&) const = default;
};

// What can be wrong with a plan. The first fault in reading order decides.
enum class PlanFault {
  kNone,
  kSyntax,            // not NAME=step, or a step that the environment cannot read
  kUnknownReference,  // to a name that is nowhere in the plan
  kForwardReference,  // to a name that is defined later, or by the same node
  kDuplicate,         // a name defined twice
  kTooManyNodes,
  kUnfinished,  // the turn was cut by its length, or nothing was written
};

// "syntax", "unknown_reference", "forward_reference", "duplicate", "too_many_nodes", "unfinished"; "" for kNone.
std::string_view PlanFaultName(PlanFault fault);

// The node's step with every reference replaced by its value. results[i] is the result of node i; those of the node's
// inputs are there.
std::string FillStep(const Plan& plan, int node, std::span<const std::string* const> results);

}  // namespace tandem
