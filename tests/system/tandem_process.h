// `tandem` as a person starts it: a process whose lines are read as they come.
#pragma once

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"

extern char** environ;

namespace tandem {

// Standard output and error come through one pipe; reading blocks until there is a line, so nothing has to be polled
// for.
class TandemProcess {
 public:
  explicit TandemProcess(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), TANDEM_BINARY);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    int ends[2];
    if (pipe(ends) != 0) return;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    if (posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ) != 0) pid_ = -1;
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    out_ = fdopen(ends[0], "r");
  }
  ~TandemProcess() {
    if (out_ != nullptr) fclose(out_);
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
  }

  // nullopt: the process has closed its output.
  std::optional<std::string> NextLine() {
    char* line = nullptr;
    size_t capacity = 0;
    const ssize_t length = getline(&line, &capacity, out_);
    std::optional<std::string> result;
    if (length >= 0) result = std::string(line, static_cast<size_t>(length));
    free(line);
    if (result) said_ += *result;
    return result;
  }

  // Nobody reads any more, as when the other end of a pipe has died.
  void StopReading() {
    if (out_ != nullptr) fclose(std::exchange(out_, nullptr));
  }

  // Reads on to the end; the exit status, or -1 when a signal ended it.
  int Wait() {
    while (out_ != nullptr && NextLine()) {
    }
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  void Signal(int signal) { kill(pid_, signal); }
  const std::string& said() const { return said_; }

 private:
  pid_t pid_ = -1;
  FILE* out_ = nullptr;
  std::string said_;
};

// Processes whose command line holds all of `words` as arguments.
inline std::vector<pid_t> ProcessesWith(const std::vector<std::string>& words) {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto arguments = ReadFile(entry.path() / "cmdline");
    if (!arguments.ok()) continue;  // it has just ended
    const std::string line = '\0' + *arguments;
    bool all = true;
    for (const std::string& word : words) all = all && line.find('\0' + word + '\0') != std::string::npos;
    if (all) found.push_back(std::stoi(name));
  }
  return found;
}

}  // namespace tandem
