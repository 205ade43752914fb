// A run folder as a run would leave it, made up: for the report's tests, and for people who work on the page.
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/random.h"

namespace tandem {

struct SyntheticRun {
  uint64_t seed = 1;
  std::vector<std::string> policies = {"planner", "executor"};
  int sft_steps = 400;
  int steps = 80;
  int workers = 2;
  int bound = 4;
  bool finished = true;  // has its final evaluation and its overlap
  bool episodes = true;
};

// Writes metrics.jsonl, episodes.jsonl and config.yaml into `folder`, which is made anew.
class SyntheticRunWriter {
 public:
  SyntheticRunWriter(const SyntheticRun& run, const std::string& folder)
      : run_(run), random_(run.seed), folder_(folder) {
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
    metrics_.open(folder + "/metrics.jsonl");
    if (run.episodes) episodes_.open(folder + "/episodes.jsonl");
  }

  void Write() {
    WarmStart();
    if (run_.sft_steps > 0) Evaluation("after_sft", 0.44);
    for (int step = 1; step <= run_.steps; ++step) Step(step);
    if (run_.finished) {
      Evaluation("final", 0.93);
      Line({{"kind", "overlap"},
            {"time_s", now_},
            {"share", 0.63},
            {"wall_s", 62.0},
            {"generating_s", 51.0},
            {"training_s", 49.5}});
    }
    std::ofstream(folder_ + "/config.yaml")
        << "name: quickstart  # Name of the run\nseed: " << run_.seed
        << "\npolicies:\n  planner:\n    staleness:\n      bound: " << run_.bound << "\n";
  }

 private:
  using Json = nlohmann::json;

  double Noise(double size) { return size * (random_.Uniform() + random_.Uniform() - 1); }
  void Line(const Json& line) { metrics_ << line.dump() << "\n"; }
  double Learned(int step) const { return 1 - std::exp(-3.5 * step / std::max(1, run_.steps)); }

  void WarmStart() {
    for (int step = 1; step <= run_.sft_steps; ++step) {
      const double length = 0.03 + Noise(0.004);
      now_ += length;
      for (size_t p = 0; p < run_.policies.size(); ++p) {
        Line({{"kind", "sft"},
              {"time_s", now_},
              {"policy", run_.policies[p]},
              {"step", step},
              {"version", 0},
              {"episodes", 64},
              {"tokens_trained", 900},
              {"tokens_per_s", 52000 + Noise(9000)},
              {"loss", 0.3 + 2.6 * std::exp(-step / 45.0) + 0.2 * static_cast<double>(p) + Noise(0.05)},
              {"entropy", 0.4},
              {"grad_norm", 0.4 + 2 * std::exp(-step / 30.0) + Noise(0.2)},
              {"learning_rate", 4e-3},
              {"wait_share", 0.1 + Noise(0.1)},
              {"step_s", length}});
      }
      if (step % 30 == 0) Rollout(0.9, 0, 0, 0.55);
    }
  }

  void Evaluation(const char* stage, double success) {
    for (int i = 0; i < 4; ++i, now_ += 0.8) Rollout(0.8, 24000, 0.05, 0);
    Line({{"kind", "eval"},
          {"time_s", now_},
          {"stage", stage},
          {"temperature", 1},
          {"episodes", 2048},
          {"success", success},
          {"plan_valid", 0.7 + 0.3 * success},
          {"plan_right", 0.5 + 0.48 * success},
          {"executor_step_accuracy", 0.6 + 0.38 * success},
          {"tokens", {{"executor", 5.1}, {"planner", 16.2}}}});
    for (int i = 0; i < 40; ++i) Episode("eval", 0, random_.Uniform() < success, false);
  }

  void Step(int step) {
    const double length = 0.7 + Noise(0.15), learned = Learned(step), before = now_;
    now_ += length;
    for (size_t p = 0; p < run_.policies.size(); ++p) {
      const int largest = std::min<int>({run_.bound, step - 1, 1 + static_cast<int>(random_.Below(4))});
      Json histogram = Json::array();
      double tokens = 0, sum = 0;
      for (int age = 0; age <= largest; ++age) {
        const int count = static_cast<int>(9000 * std::exp(-std::pow(age - 1.2 - 0.3 * static_cast<double>(p), 2)) *
                                           (1 + Noise(0.3)));
        histogram.push_back(count);
        tokens += count;
        sum += 1.0 * age * count;
      }
      Line({{"kind", "step"},
            {"time_s", before + length * (0.8 + 0.2 * static_cast<double>(p))},
            {"policy", run_.policies[p]},
            {"step", step},
            {"version", step},
            {"reward_mean", 0.42 + 0.5 * learned + Noise(0.05)},
            {"episodes", 512},
            {"turns", p == 0 ? 512 : 1290},
            {"tokens_trained", tokens},
            {"tokens_per_s", 38000 + Noise(9000)},
            {"staleness_mean", sum / std::max(1.0, tokens)},
            {"staleness_max", largest},
            {"staleness_bound", run_.bound},
            {"importance_weight_mean", 1 + Noise(0.02)},
            {"ess", 0.97 - 0.06 * random_.Uniform()},
            {"clip_fraction", 0.05 * random_.Uniform()},
            {"kl", 0.004 + 0.01 * random_.Uniform()},
            {"entropy", 0.55 - 0.4 * learned + Noise(0.02)},
            {"loss", Noise(0.03)},
            {"grad_norm", 0.3 + 0.4 * random_.Uniform()},
            {"learning_rate", 6e-4 * std::min(1.0, step / 5.0) * (1 - 0.8 * step / run_.steps)},
            {"wait_share", std::clamp((p == 0 ? 0.22 : 0.38) + Noise(0.2), 0.0, 1.0)},
            {"mismatch", 2e-6 + 1e-6 * random_.Uniform()},
            {"groups_without_variance", static_cast<int>(3 + 20 * learned)},
            {"mixed_version_turns", (p == 0 ? 0.09 : 0.02) + Noise(0.02)},
            {"staleness_histogram", histogram},
            {"step_s", length}});
      Ledger(run_.policies[p], step);
    }
    Rollout(length, 26000, 0.16 * (1 - 0.8 * learned), 0.12);
    for (int i = 0; i < 2; ++i)
      Episode("train", step, random_.Uniform() < 0.42 + 0.5 * learned, random_.Uniform() < 0.3);
  }

  void Ledger(const std::string& policy, int step) {
    const int in_flight = step == run_.steps && run_.finished ? 0 : 512 + static_cast<int>(random_.Below(512));
    const int buffered = step == run_.steps && run_.finished ? 0 : static_cast<int>(random_.Below(700));
    Line({{"kind", "ledger"},
          {"time_s", now_},
          {"policy", policy},
          {"issued", 512 * step + in_flight + buffered + 16},
          {"trained", 512 * step},
          {"in_flight", in_flight},
          {"buffered", buffered},
          {"rejected", 16},
          {"rejected_by_reason", {{"non_finite", 0}, {"end_of_stage", 16}}},
          {"duplicates_total", 0},
          {"reissued_total", 1}});
  }

  void Rollout(double interval, double tokens_per_s, double faulty, double waiting) {
    for (int worker = 0; worker < run_.workers; ++worker) {
      const double rate = std::max(0.0, tokens_per_s * (1 + Noise(0.25)) / run_.workers);
      const int episodes = static_cast<int>(rate * interval / 22);
      Line({{"kind", "rollout"},
            {"time_s", now_},
            {"worker", "worker-" + std::to_string(worker)},
            {"tokens_generated", static_cast<int>(rate * interval)},
            {"tokens_per_s", rate},
            {"wait_share", std::clamp(waiting + Noise(0.15), 0.0, 1.0)},
            {"episodes", episodes},
            {"groups_in_play", 32},
            {"turns_mixed", 12},
            {"swaps", 2},
            {"interval_s", interval},
            {"faults",
             {{"syntax", static_cast<int>(episodes * faulty * 0.6)},
              {"unknown_reference", static_cast<int>(episodes * faulty * 0.3)},
              {"unfinished", static_cast<int>(episodes * faulty * 0.1)}}},
            {"masked_tokens", static_cast<int>(episodes * faulty)}});
    }
  }

  // As protobuf prints it: zeroes left out, 64-bit integers as strings.
  Json Turn(int index, const char* role, int node, const std::string& prompt, const std::vector<std::string>& pieces,
            int version) {
    const std::string policy = std::find(run_.policies.begin(), run_.policies.end(), role) == run_.policies.end()
                                   ? run_.policies.front()
                                   : role;
    Json turn = {{"role", role},
                 {"policy", policy},
                 {"prompt_text", prompt},
                 {"output_pieces", pieces},
                 {"random_key", "1234567890123456789"},
                 {"finish", "STOP"},
                 {"terminated", true}};
    if (index > 0) turn["turn"] = index;
    if (node > 0) turn["node"] = node;
    for (size_t i = 0; i < pieces.size(); ++i) {
      Json run = {{"version", {{"incarnation", 1}}}, {"count", pieces[i].size() + 1}};
      if (version + static_cast<int>(i) > 0) run["version"]["number"] = version + static_cast<int>(i);
      turn["version_runs"].push_back(run);
    }
    return turn;
  }

  void Episode(const char* purpose, int step, bool right, bool mixed) {
    if (!run_.episodes) return;
    const int a = static_cast<int>(random_.Below(10)), b = static_cast<int>(random_.Below(10)),
              c = static_cast<int>(random_.Below(10));
    const int sum = (a + b) % 10, product = sum * c % 10, told = right ? product : (product + 3) % 10;
    const bool faulty = !right && random_.Uniform() < 0.4;
    const std::string A = std::to_string(a), B = std::to_string(b), C = std::to_string(c);
    const std::string question = "(" + A + "+" + B + ")*" + C + "=";
    const std::string plan = "A=" + A + "+" + B + ";B=" + (faulty ? "D" : "A") + "*" + C;
    const int version = std::max(0, step - 1 - static_cast<int>(random_.Below(3)));
    const std::vector<std::string> pieces = mixed ? std::vector{plan.substr(0, 6), plan.substr(6)} : std::vector{plan};
    Json episode = {{"turns", {Turn(0, "planner", 0, question, pieces, version)}}};
    Json first = Turn(1, "executor", 0, A + "+" + B + "=", {std::to_string(sum)}, version);
    first["parents"] = {0};
    if (faulty) first["masked"] = true;
    episode["turns"].push_back(first);
    if (faulty) {
      episode["faults"] = {{{"kind", "unknown_reference"}, {"detail", "node B uses D"}}};
    } else {
      Json second = Turn(2, "executor", 1, std::to_string(sum) + "*" + C + "=", {std::to_string(told)}, version + 1);
      second["parents"] = {0, 1};
      episode["turns"].push_back(second);
      episode["answer"] = std::to_string(told);
    }
    episode["rewards"] = {{{"name", "team"}, {"value", right ? 1 : 0}}};
    episode["measures"] = {{{"name", "success"}, {"value", right ? 1 : 0}},
                           {{"name", "steps_executed"}, {"value", faulty ? 1 : 2}},
                           {{"name", "steps_right"}, {"value", right ? 2 : 1}}};
    episode["question"] = question;
    episode["reference"] = std::to_string(product);
    episodes_ << Json{{"ticket", std::to_string(tickets_++)},
                      {"purpose", purpose},
                      {"time_s", now_},
                      {"step_hint", step},
                      {"episode", episode}}
                     .dump()
              << "\n";
  }

  SyntheticRun run_;
  RandomStream random_;
  std::string folder_;
  std::ofstream metrics_, episodes_;
  double now_ = 1.0;
  int tickets_ = 0;
};

inline void WriteSyntheticRun(const SyntheticRun& run, const std::string& folder) {
  SyntheticRunWriter(run, folder).Write();
}

}  // namespace tandem
