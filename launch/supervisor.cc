#include "launch/supervisor.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "launch/child.h"
#include "launch/stop_signals.h"

namespace tandem {
namespace {

constexpr int kLogLines = 8;  // of a dead child's log, in the error

struct Child {
  ChildSpec spec;
  pid_t pid = -1;  // -1: not running
  double started_s = 0;
  int restarts = 0;
};

class Supervisor {
 public:
  Supervisor(const std::vector<ChildSpec>& specs, const SupervisorOptions& options) : options_(options) {
    for (const ChildSpec& spec : specs) children_.push_back({.spec = spec});
  }

  absl::StatusOr<RunOutcome> Run() {
    for (Child& child : children_) {
      if (const absl::Status status = Start(&child); !status.ok()) {
        Fail(status);
        break;
      }
    }
    while (Running() > 0) {
      OnSignal(WaitForSignal(options_.tick_s));
      Reap();
      if (phase_ == Phase::kTerminating && OnlyTheExchange()) Kill();  // those that it waits for will not come
      if (clock_.Now() > workers_deadline_) Send(SIGKILL, ChildSpec::kWorker);
      if (clock_.Now() > deadline_) OnDeadline();
      if (options_.tick) options_.tick();
    }
    if (!error_.ok()) return error_;
    return stopped_ ? RunOutcome::kStopped : RunOutcome::kFinished;
  }

 private:
  enum class Phase { kRunning, kEnding, kStopping, kTerminating, kKilled };

  absl::Status Start(Child* child) {
    TANDEM_ASSIGN_OR_RETURN(child->pid, StartChild(child->spec, Log(*child)));
    child->started_s = clock_.Now();
    return absl::OkStatus();
  }

  std::string Log(const Child& child) const { return absl::StrCat(options_.log_folder, "/", child.spec.name, ".log"); }

  size_t Running() const {
    return std::count_if(children_.begin(), children_.end(), [](const Child& child) { return child.pid > 0; });
  }

  bool OnlyTheExchange() const {
    return std::all_of(children_.begin(), children_.end(),
                       [](const Child& child) { return (child.pid > 0) == (child.spec.kind == ChildSpec::kExchange); });
  }

  std::string RunningNames() const {
    std::vector<std::string> names;
    for (const Child& child : children_) {
      if (child.pid > 0) names.push_back(child.spec.name);
    }
    return absl::StrJoin(names, ", ");
  }

  void Say(const std::string& text) const {
    if (options_.say) options_.say(text);
  }

  void Send(int signal, ChildSpec::Kind to) const {
    for (const Child& child : children_) {
      if (child.pid > 0 && child.spec.kind == to) kill(child.pid, signal);
    }
  }

  void SendAll(int signal) const {
    for (const auto to : {ChildSpec::kExchange, ChildSpec::kTrainer, ChildSpec::kWorker}) Send(signal, to);
  }

  void OnSignal(int signal) {
    if (!AsksToStop(signal)) return;
    if (stopped_) {
      Say("stopping at once");
      error_ = absl::CancelledError("stopped at once, before all checkpoints were written");
      Kill();
      return;
    }
    stopped_ = true;
    Say("stopping: checkpoints are being written (once more: at once)");
    if (phase_ != Phase::kRunning) return;  // already on its way out
    Enter(Phase::kStopping, options_.stop_s);
    Send(SIGTERM, ChildSpec::kExchange);
  }

  // Those that were killed come first: a rank that ends with an error because another one was killed was not at fault.
  void Reap() {
    std::vector<std::pair<Child*, int>> ended;
    for (int pass = 0; pass < 2; ++pass) {  // the second sees whoever died first, but was looked at first
      for (Child& child : children_) {
        int status = 0;
        if (child.pid <= 0 || waitpid(child.pid, &status, WNOHANG) != child.pid) continue;
        child.pid = -1;
        ended.emplace_back(&child, status);
      }
    }
    std::stable_partition(ended.begin(), ended.end(), [](const auto& end) { return WIFSIGNALED(end.second); });
    for (const auto& [child, status] : ended) {
      if (child->pid < 0) OnEnd(child, status);  // unless its team has been started again by now
    }
  }

  void OnEnd(Child* child, int status) {
    const bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (child->spec.kind == ChildSpec::kWorker) {
      if (!well && phase_ == Phase::kRunning) Restart(child, status);
      return;
    }
    if (phase_ == Phase::kStopping && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM) {
      // Told before it was up. It had nothing to save; and of an exchange that never was, nobody else will be told.
      if (child->spec.kind == ChildSpec::kExchange) SendAll(SIGTERM);
      return;
    }
    if (WIFSIGNALED(status) && phase_ == Phase::kRunning) return Restart(child, status);
    if (!well) {
      if (phase_ == Phase::kKilled || phase_ == Phase::kTerminating) return;  // we did that
      const std::string last = LastLines(Log(*child), kLogLines);
      Fail(absl::AbortedError(absl::StrCat(child->spec.name, " ended with ", StatusText(status), "; its log ",
                                           Log(*child), last.empty() ? " is empty" : absl::StrCat(" ends:\n", last))));
      return;
    }
    if (child->spec.kind == ChildSpec::kExchange) OnExchangeEnd();
  }

  void OnExchangeEnd() {
    Send(SIGTERM, ChildSpec::kWorker);
    workers_deadline_ = clock_.Now() + options_.leave_s;
    if (phase_ == Phase::kRunning) Enter(Phase::kEnding, options_.end_s);
    // Those that joined have been told by the exchange; others would look for it in vain.
    if (phase_ == Phase::kStopping) Send(SIGTERM, ChildSpec::kTrainer);
  }

  void Restart(Child* child, int status) {
    const std::string ended = absl::StrCat(child->spec.name, " ended with ", StatusText(status));
    if (clock_.Now() - child->started_s > options_.restart_forget_s) child->restarts = 0;
    if (child->restarts == options_.restarts) {
      const std::string last = LastLines(Log(*child), kLogLines);
      Fail(absl::AbortedError(absl::StrCat(ended, " after ", child->restarts, " restarts; its log ", Log(*child),
                                           last.empty() ? " is empty" : absl::StrCat(" ends:\n", last))));
      return;
    }
    ++child->restarts;
    Say(absl::StrCat(ended, "; started again (", child->restarts, " of at most ", options_.restarts, ")"));
    StartTeam(child);
  }

  void StartTeam(Child* first) {
    std::vector<Child*> team = {first};
    for (Child& child : children_) {
      if (&child == first || child.spec.team.empty() || child.spec.team != first->spec.team) continue;
      if (child.pid > 0 && kill(child.pid, SIGKILL) == 0) waitpid(child.pid, nullptr, 0);
      team.push_back(&child);
    }
    for (Child* child : team) {  // all before the first is started
      if (child->spec.argv_again) child->spec.argv = child->spec.argv_again();
    }
    for (Child* child : team) {
      if (const absl::Status started = Start(child); !started.ok()) return Fail(started);
    }
  }

  // The run has failed; what is left is told to leave, so that trainers still write their checkpoints.
  void Fail(absl::Status status) {
    if (error_.ok()) error_ = std::move(status);
    Enter(Phase::kTerminating, options_.term_s);
    SendAll(SIGTERM);
  }

  void OnDeadline() {
    if (phase_ == Phase::kTerminating) {
      Say(absl::StrCat("killed, since they do not end: ", RunningNames()));
      Kill();
      return;
    }
    Fail(absl::DeadlineExceededError(absl::StrCat(
        RunningNames(), phase_ == Phase::kEnding ? " did not end within " : " did not stop within ",
        phase_ == Phase::kEnding ? options_.end_s : options_.stop_s, " s; see the logs in ", options_.log_folder)));
  }

  void Kill() {
    Enter(Phase::kKilled, 1e9);
    SendAll(SIGKILL);
  }

  void Enter(Phase phase, double within_s) {
    phase_ = phase;
    deadline_ = clock_.Now() + within_s;
  }

  const SupervisorOptions& options_;
  RealClock clock_;
  std::vector<Child> children_;
  Phase phase_ = Phase::kRunning;
  double deadline_ = 1e18;
  double workers_deadline_ = 1e18;
  bool stopped_ = false;
  absl::Status error_;
};

}  // namespace

absl::StatusOr<RunOutcome> Supervise(const std::vector<ChildSpec>& children, const SupervisorOptions& options) {
  return Supervisor(children, options).Run();
}

}  // namespace tandem
