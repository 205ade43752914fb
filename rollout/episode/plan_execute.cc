#include "rollout/episode/plan_execute.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "rollout/env/plan_oracle.h"
#include "rollout/episode/later.h"
#include "rollout/plan/plan_reader.h"

namespace tandem {
namespace {

// Of a node; nullopt where there is none, since the executor gave none or that of an input is missing.
using Result = std::optional<std::string>;

// A plan that is carried out while it is written.
class Execution {
 public:
  Execution(Episode& episode, LiveTurn& planner)
      : episode_(episode),
        planner_(planner),
        executor_(episode.team().seat(kExecutorRole)),
        reader_(episode.max_nodes(),
                [&episode](std::string_view s) { return episode.environment().StepIsWellFormed(s); }),
        results_(std::make_unique<Later<Result>[]>(episode.max_nodes())),
        turns_(episode.max_nodes()) {
    steps_.reserve(episode.max_nodes());
  }

  // The plan goes on with `c`, or is over.
  void Read(char c) {
    reader_.Feed(c);
    StartNewNodes();
  }
  void EndPlan() {
    reader_.End(planner_.stopped_by_itself());
    StartNewNodes();
  }

  bool faulty() const { return reader_.faulty(); }
  std::vector<Program<void>>& steps() { return steps_; }  // those begun, in the order of the nodes

  Outcome PlanIsFaulty() {
    Outcome outcome;
    outcome.truncated = planner_.finish() == proto::LENGTH;
    if (planner_.remote_fault()) {
      outcome.faults.push_back(*planner_.remote_fault());
    } else {
      planner_.AddFault(PlanFaultName(reader_.fault()), reader_.detail());
      AddFault(PlanFaultName(reader_.fault()), reader_.detail(), outcome);
    }
    for (LiveTurn* turn : turns_) {
      if (turn != nullptr) turn->set_masked();
    }
    if (episode_.measured()) Measure(outcome);
    return outcome;
  }

  Outcome Answer() {
    Outcome outcome;
    const Result& last = *results_[reader_.plan().nodes.size() - 1].value();
    outcome.answer = last.value_or("");
    std::sort(bad_results_.begin(), bad_results_.end());  // by node, whichever ended first
    for (const auto& [node, detail] : bad_results_) AddFault("bad_result", detail, outcome);
    const bool answered = NoteUnanswered(outcome);
    if (bad_results_.empty() && answered)
      outcome.reward = episode_.environment().Reward(episode_.task(), outcome.answer);
    if (episode_.measured()) Measure(outcome);
    return outcome;
  }

 private:
  // False: a remote model did not answer.
  bool NoteUnanswered(Outcome& outcome) {
    for (const LiveTurn* turn : turns_) {
      if (turn != nullptr && turn->remote_fault()) outcome.faults.push_back(*turn->remote_fault());
    }
    const bool answered = std::none_of(turns_.begin(), turns_.end(),
                                       [](const LiveTurn* turn) { return turn != nullptr && turn->remote_fault(); });
    if (answered) return true;
    planner_.set_masked();
    for (LiveTurn* turn : turns_) {
      if (turn != nullptr) turn->set_masked();
    }
    return false;
  }

  void StartNewNodes() {
    if (faulty()) return Stop();
    while (steps_.size() < reader_.plan().nodes.size()) {
      steps_.push_back(CarryOut(static_cast<int>(steps_.size())));
      steps_.back().Start();
    }
  }

  void Stop() {
    if (std::exchange(stopped_, true)) return;
    for (LiveTurn* turn : turns_) {
      if (turn != nullptr) turn->Cancel();
    }
    steps_.clear();
  }

  // The program of one node.
  Program<void> CarryOut(int node) {
    const std::vector<int> inputs = reader_.plan().nodes[node].inputs;  // a copy: the plan still grows
    for (int input : inputs) {
      const Result& result = co_await results_[input].Wait();
      if (!result) {
        results_[node].Set(std::nullopt);
        co_return;
      }
    }
    const std::string step = Fill(node);
    LiveTurn& turn = AskExecutor(node, inputs, step);
    co_await turn.Done();
    co_await episode_.CallTool(static_cast<uint32_t>(node));
    results_[node].Set(ResultOf(node, turn, step));
  }

  std::string Fill(int node) {
    const Plan& plan = reader_.plan();
    if (plan.nodes[node].inputs.empty()) return plan.nodes[node].step;
    std::vector<const std::string*> values(plan.nodes.size());
    for (int input : plan.nodes[node].inputs) values[input] = &**results_[input].value();
    return FillStep(plan, node, values);
  }

  LiveTurn& AskExecutor(int node, const std::vector<int>& inputs, const std::string& step) {
    std::vector<const LiveTurn*> parents = {&planner_};
    for (int input : inputs) parents.push_back(turns_[input]);
    const Environment& environment = episode_.environment();
    LiveTurn& turn =
        episode_.Ask(executor_, static_cast<uint32_t>(node), std::move(parents), environment.ExecutorPrompt(step),
                     [&](RandomStream* corrupt) { return environment.ScriptedStep(step, corrupt); });
    turns_[node] = &turn;
    return turn;
  }

  Result ResultOf(int node, LiveTurn& turn, const std::string& step) {
    ++steps_executed_;
    if (turn.remote_fault()) return std::nullopt;
    if (!turn.stopped_by_itself() || !episode_.environment().ResultIsWellFormed(turn.text())) {
      std::string detail = absl::StrCat("node ", std::string(1, reader_.plan().nodes[node].name), ": \"", turn.text(),
                                        turn.stopped_by_itself() ? "\" is not a result" : "\" was cut by its length");
      turn.AddFault("bad_result", detail);
      bad_results_.emplace_back(node, std::move(detail));
      return std::nullopt;
    }
    if (episode_.measured() && turn.text() == episode_.environment().ScriptedStep(step, nullptr)) ++steps_right_;
    return turn.text();
  }

  static void AddFault(std::string_view kind, const std::string& detail, Outcome& outcome) {
    proto::Fault& fault = outcome.faults.emplace_back();
    fault.set_kind(std::string(kind));
    fault.set_detail(detail);
  }

  void Measure(Outcome& outcome) const {
    const bool valid = !faulty();
    const bool right = valid && PlanIsRight(reader_.plan(), episode_.environment(), episode_.task());
    size_t executor_tokens = 0;
    for (const LiveTurn* turn : turns_) {
      if (turn != nullptr && !turn->masked()) executor_tokens += turn->tokens();
    }
    outcome.measures = {{"success", outcome.reward},
                        {"plan_valid", valid},
                        {"plan_right", right},
                        {"steps_executed", valid ? steps_executed_ : 0},
                        {"steps_right", valid ? steps_right_ : 0},
                        {"tokens.planner", static_cast<double>(planner_.tokens())},
                        {"tokens.executor", static_cast<double>(executor_tokens)}};
  }

  Episode& episode_;
  LiveTurn& planner_;
  const Seat& executor_;
  PlanReader reader_;
  std::unique_ptr<Later<Result>[]> results_;  // [max_nodes]
  std::vector<LiveTurn*> turns_;              // [max_nodes] null until the executor was asked
  std::vector<std::pair<int, std::string>> bad_results_;
  int steps_executed_ = 0, steps_right_ = 0;
  bool stopped_ = false;
  std::vector<Program<void>> steps_;  // last: dropped before what they wait for
};

}  // namespace

Program<Outcome> PlanExecute(Episode& episode) {
  const Environment& environment = episode.environment();
  const std::string prompt = environment.PlannerPrompt(episode.task());
  LiveTurn& planner =
      episode.Ask(episode.team().seat(kPlannerRole), /*node=*/0, /*parents=*/{}, prompt,
                  [&](RandomStream* corrupt) { return environment.ScriptedPlan(episode.task(), corrupt); });
  Execution execution(episode, planner);
  while (true) {
    const std::optional<char> c = co_await planner.Next();
    if (!c) break;
    execution.Read(*c);
  }
  execution.EndPlan();
  if (execution.faulty()) co_return execution.PlanIsFaulty();
  // All steps come to an end, also those that the answer does not need.
  for (Program<void>& step : execution.steps()) co_await step;
  co_return execution.Answer();
}

}  // namespace tandem
