// The commands of `tandem`. Each Make...Command adds itself to the program and says how it is run.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "launch/config.h"

namespace tandem {

struct Command {
  CLI::App* app;
  std::function<int()> run;  // returns the exit status
};

// Commands for people.
Command MakeTrainCommand(CLI::App& program);
Command MakeEvalCommand(CLI::App& program);
Command MakeConfigCommand(CLI::App& program);
Command MakeTasksCommand(CLI::App& program);
Command MakeVersionCommand(CLI::App& program);
// The processes of a run, which `train` starts.
Command MakeExchangeCommand(CLI::App& program);
Command MakeTrainerCommand(CLI::App& program);
Command MakeWorkerCommand(CLI::App& program);

inline constexpr int kExitFine = 0;
inline constexpr int kExitFailed = 1;    // the run failed
inline constexpr int kExitBadInput = 2;  // nothing was begun

// Print the message on standard error (of bad input one line) and return the exit status.
int BadInput(const absl::Status& status);
int Failed(const absl::Status& status);

// Adds --set key=value (repeatable; each takes one word).
void AddSetOption(CLI::App* app, std::vector<std::string>* sets);

}  // namespace tandem
