#include "launch/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "launch/stop_signals.h"

extern char** environ;

namespace tandem {
namespace {

std::vector<std::string> EnvironmentOf(const ChildSpec& spec) {
  std::map<std::string, std::string> all;
  for (char** at = environ; *at != nullptr; ++at) {
    const std::pair<std::string, std::string> entry = absl::StrSplit(*at, absl::MaxSplits('=', 1));
    all[entry.first] = entry.second;
  }
  for (const auto& [name, value] : spec.environment) all[name] = value;
  std::vector<std::string> lines;
  for (const auto& [name, value] : all) lines.push_back(absl::StrCat(name, "=", value));
  return lines;
}

std::vector<char*> Pointers(std::vector<std::string>* texts) {
  std::vector<char*> pointers;
  for (std::string& text : *texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

absl::StatusOr<pid_t> StartChild(const ChildSpec& spec, const std::string& log) {
  const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (out < 0) return absl::ErrnoToStatus(errno, absl::StrCat(log, ": cannot be written"));
  // All memory is taken before fork: after it, only async-signal-safe functions are allowed.
  std::vector<std::string> argv_texts = spec.argv, environment_texts = EnvironmentOf(spec);
  const std::vector<char*> argv = Pointers(&argv_texts), environment = Pointers(&environment_texts);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(126);  // the parent died before prctl
    for (const int to_all : {SIGINT, SIGHUP}) signal(to_all, SIG_IGN);
    UnblockSignals();
    const int in = open("/dev/null", O_RDONLY);
    if (in >= 0) dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execve(spec.executable.c_str(), argv.data(), environment.data());
    const char* why = strerrordesc_np(errno);
    for (const char* part :
         std::initializer_list<const char*>{spec.executable.c_str(), ": cannot be started: ", why, "\n"}) {
      if (write(STDERR_FILENO, part, std::strlen(part)) < 0) break;
    }
    _exit(127);
  }
  const int error = errno;
  close(out);
  if (pid < 0) return absl::ErrnoToStatus(error, absl::StrCat(spec.name, ": cannot be started"));
  return pid;
}

std::string StatusText(int status) {
  if (WIFSIGNALED(status)) return absl::StrCat("signal ", WTERMSIG(status), " (", strsignal(WTERMSIG(status)), ")");
  return absl::StrCat("exit status ", WEXITSTATUS(status));
}

std::string LastLines(const std::string& log, int lines) {
  const auto text = ReadFile(log);
  if (!text.ok()) return "";
  std::vector<std::string> all = absl::StrSplit(*text, '\n', absl::SkipWhitespace());
  if (all.size() > static_cast<size_t>(lines)) all.erase(all.begin(), all.end() - lines);
  return absl::StrJoin(all, "\n");
}

}  // namespace tandem
