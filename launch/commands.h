// The commands of `tandem`: each takes its flags (flags.cc says what they are called) and returns the exit status.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "launch/config.h"
#include "launch/evaluation_setup.h"

namespace tandem {

inline constexpr int kExitFine = 0;
inline constexpr int kExitFailed = 1;    // the run failed
inline constexpr int kExitBadInput = 2;  // nothing was begun

// Print the message on standard error (of bad input one line) and return the exit status.
int BadInput(const absl::Status& status);
int Failed(const absl::Status& status);

struct TrainFlags {
  ConfigSource source;
  std::string seed;
  std::string run_dir;
  std::string resume;
  bool in_process = false;
};
int Train(TrainFlags flags);

struct EvalFlags {
  EvaluationRequest request;
  uint64_t episodes = 2000;
  double temperature = 1;
  uint64_t seed = 0;
  bool json = false;
};
int Evaluate(const EvalFlags& flags);

struct ConfigFlags {
  ConfigSource source;
  std::string seed;
  bool plain = false;
};
int PrintConfig(ConfigFlags flags);

struct TasksFlags {
  ConfigSource source;
  std::string seed;
  std::string split = "training";
  uint64_t count = 100;
  bool list = false;
};
int WriteTasks(const TasksFlags& flags);

struct ReplayFlags {
  std::string run;
  int64_t incarnation = -1;  // the last one
  bool schedule_only = false;
  std::vector<std::string> sets;
  std::string run_dir;
};
int RepeatRun(const ReplayFlags& flags);

struct SimulateFlags {
  ConfigSource source;
  std::string seed;
  std::string from;                 // a run whose work is done again, in place of the latencies below
  std::vector<std::string> speeds;  // "planner=2"
  std::vector<std::string> rules;   // of others, to compare with
  std::optional<uint32_t> workers;
  std::optional<double> cores, publish_s;
  // Of a group's duration: median, spread, and where it is cut off, in medians; of a step.
  std::optional<double> median_s, sigma, cap, step_s;
  std::string bounds;  // "0,1,2": simulates each of them in place of the configuration's
  bool json = false;
};
int Simulate(SimulateFlags flags);

// Commands on one model: a folder in Hugging Face's layout.
struct ModelFlags {
  std::string model;
  std::string device = "auto", precision;  // "": float32 on the CPU, bf16 on a GPU; or int8
};
struct ScoreFlags {
  ModelFlags model;
  std::string input;
};
int ScoreSequences(const ScoreFlags& flags);

struct GenerateFlags {
  ModelFlags model;
  std::string prompt, input;  // one of them
  bool chat = false;          // the prompt is what a user says
  bool greedy = false;
  double temperature = 1, top_p = 1, min_p = 0;
  uint32_t top_k = 0, max_new_tokens = 256, batch = 32;
  std::vector<std::string> stop;
  uint64_t seed = 0;
};
int GenerateText(const GenerateFlags& flags);

struct ServeFlags {
  ModelFlags model;
  std::string host = "127.0.0.1", name;  // "": the folder's
  uint32_t port = 8000, batch = 32, cache_mb = 0;
};
int Serve(const ServeFlags& flags);

struct TokenizeFlags {
  std::string model, input;
};
int TokenizeText(const TokenizeFlags& flags);

struct ConvertFlags {
  std::string source, target, dtype;  // "": as in the source
};
int ConvertModel(const ConvertFlags& flags);

int PrintVersion();

// The processes of a run, which `train` starts.
struct ProcessFlags {
  std::string run, endpoint, private_folder;
  uint32_t incarnation = 0;
  double clock_offset_s = 0;
  std::vector<std::string> resume;
  std::string policy, checkpoint;
  uint32_t rank = 0, index = 0;
};
int RunExchangeProcess(const ProcessFlags& flags);
int RunTrainerProcess(const ProcessFlags& flags);
int RunWorkerProcess(const ProcessFlags& flags);

}  // namespace tandem
