#include <cstdio>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "base/clock.h"
#include "launch/commands.h"
#include "launch/live_view.h"
#include "launch/numbers.h"
#include "launch/replay.h"
#include "launch/retrain.h"

namespace tandem {
namespace {

// A line that is written over on a terminal, and one every ten seconds elsewhere.
class ReplayProgress {
 public:
  void Show(const Replayed& replayed) {
    if (!Due()) return;
    Print(absl::StrFormat("%3.0f %%  %s turns, %s tokens, %s steps", 100 * replayed.done, Thousands(replayed.turns),
                          Thousands(replayed.tokens), Thousands(replayed.steps)));
  }
  void ShowShare(double done) {
    if (Due()) Print(absl::StrFormat("%3.0f %%", 100 * done));
  }
  void Finish() const {
    if (terminal_ && shown_) std::fputs("\r\x1b[K", stderr);
  }
  double seconds() const { return clock_.Now(); }

 private:
  bool Due() {
    const double now = clock_.Now();
    if (now < next_s_) return false;
    next_s_ = now + (terminal_ ? 0.2 : 10);
    return true;
  }
  void Print(const std::string& text) {
    std::fprintf(stderr, "%s%s%s", terminal_ ? "\r" : "", text.c_str(), terminal_ ? "\x1b[K" : "\n");
    shown_ = true;
  }

  const RealClock clock_;
  const bool terminal_ = IsTerminal(stderr);
  double next_s_ = 1;
  bool shown_ = false;
};

int TrainAnew(const ReplayFlags& flags, std::optional<uint32_t> incarnation) {
  ReplayProgress progress;
  const absl::StatusOr<std::string> folder =
      Retrain({flags.run, incarnation, flags.sets, flags.run_dir}, [&](double done) { progress.ShowShare(done); });
  progress.Finish();
  if (!folder.ok()) return absl::IsAborted(folder.status()) ? Failed(folder.status()) : BadInput(folder.status());
  std::printf("run        %s\nreport     %s/report.html\n", folder->c_str(), folder->c_str());
  return kExitFine;
}

}  // namespace

int RepeatRun(const ReplayFlags& flags) {
  ReplayRequest request{flags.run, {}};
  if (flags.incarnation >= 0) request.incarnation = static_cast<uint32_t>(flags.incarnation);
  if (flags.schedule_only) return TrainAnew(flags, request.incarnation);
  if (!flags.sets.empty() || !flags.run_dir.empty()) {
    return BadInput(
        absl::InvalidArgumentError("--set and --run-dir go with --schedule-only: an exact replay changes nothing"));
  }
  ReplayProgress progress;
  const absl::StatusOr<Replayed> replayed = Replay(request, [&](const Replayed& so_far) { progress.Show(so_far); });
  progress.Finish();
  if (!replayed.ok()) {
    return absl::StartsWith(replayed.status().message(), "different: ") ? Failed(replayed.status())
                                                                        : BadInput(replayed.status());
  }
  std::printf("the same, bit for bit: %s turns of %s tokens, %s steps, %s versions (%.1f s)\n",
              Thousands(replayed->turns).c_str(), Thousands(replayed->tokens).c_str(),
              Thousands(replayed->steps).c_str(), Thousands(replayed->versions).c_str(), progress.seconds());
  return kExitFine;
}

}  // namespace tandem
