// What the commands of `tandem` and their flags are called, and what --help says about them.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <vector>

namespace tandem {

struct Command {
  CLI::App* app;
  std::function<int()> run;  // with the flags that were parsed; returns the exit status
};

std::vector<Command> AddCommands(CLI::App& program);

}  // namespace tandem
