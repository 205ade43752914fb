#include "tests/exchange/play_apart.h"

#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "tests/exchange/team.h"

namespace tandem {
namespace {

constexpr time_t kMostCpuS = 20;

}  // namespace

void LimitCpu() {
  const itimerval limit = {{0, 0}, {kMostCpuS, 0}};
  TANDEM_CHECK(setitimer(ITIMER_PROF, &limit, nullptr) == 0);
}

std::string PlayApart(const Scenario& scenario) {
  int ends[2];
  TANDEM_CHECK(pipe(ends) == 0);
  const pid_t child = fork();
  TANDEM_CHECK(child >= 0);
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);  // where failed checks are written
    close(ends[0]);
    LimitCpu();
    const std::string violation = Play(scenario).violation;
    std::fputs(violation.c_str(), stderr);
    _exit(violation.empty() ? 0 : 1);
  }
  close(ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t count; (count = read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, count);
  close(ends[0]);
  int status = 0;
  TANDEM_CHECK(waitpid(child, &status, 0) == child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return "";
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF) return "it never ends";
  return text.empty() ? absl::StrCat("ended with wait status ", status) : text;
}

}  // namespace tandem
