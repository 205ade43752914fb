#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "launch/commands.h"
#include "launch/config_writer.h"
#include "launch/in_process.h"
#include "launch/live_view.h"
#include "launch/preflight.h"
#include "launch/processes.h"
#include "launch/redirected_errors.h"
#include "launch/resume.h"
#include "launch/run_folder.h"
#include "launch/stop_signals.h"
#include "study/report.h"
#include "trainer/checkpoint_list.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;

// A path as people like it: relative to where they are, when that is shorter.
std::string Shown(const std::string& path) {
  std::error_code error;
  const std::string relative = fs::proximate(path, error).string();
  return !error && relative.size() < path.size() ? relative : path;
}

// ---- before the run: everything that bad input can break; nothing is left behind ------------------------------------

struct Prepared {
  RunSetup setup;
  std::unique_ptr<RunLock> lock;
};

absl::StatusOr<Prepared> PrepareFresh(const TrainFlags& flags) {
  Prepared prepared;
  RunSetup& setup = prepared.setup;
  TANDEM_ASSIGN_OR_RETURN(setup.loaded, LoadConfig(flags.source));
  TANDEM_RETURN_IF_ERROR(CheckBeforeRun(setup.loaded));
  TANDEM_RETURN_IF_ERROR(AskRemotes(setup.loaded));
  if (flags.run_dir.empty()) {
    TANDEM_ASSIGN_OR_RETURN(setup.run_folder, MakeRunFolder("runs", setup.loaded.config.name(), std::time(nullptr)));
  } else {
    TANDEM_ASSIGN_OR_RETURN(setup.run_folder, MakeChosenRunFolder(flags.run_dir));
  }
  TANDEM_ASSIGN_OR_RETURN(RunLock lock, RunLock::Take(setup.run_folder));
  prepared.lock = std::make_unique<RunLock>(std::move(lock));
  TANDEM_RETURN_IF_ERROR(FillRunFolder(setup.run_folder, setup.incarnation, &setup.loaded));
  return prepared;
}

absl::StatusOr<Prepared> PrepareResumed(TrainFlags flags) {
  if (!flags.source.file.empty()) {
    return absl::InvalidArgumentError("--resume takes the configuration of the run; change it with --set key=value");
  }
  if (!flags.run_dir.empty()) return absl::InvalidArgumentError("--run-dir: a resumed run stays in its folder");
  Prepared prepared;
  RunSetup& setup = prepared.setup;
  TANDEM_ASSIGN_OR_RETURN(setup.run_folder, OpenRunFolder(flags.resume));
  TANDEM_ASSIGN_OR_RETURN(RunLock lock, RunLock::Take(setup.run_folder));
  prepared.lock = std::make_unique<RunLock>(std::move(lock));
  flags.source.file = ConfigFile(setup.run_folder);
  flags.source.resolved = true;
  TANDEM_ASSIGN_OR_RETURN(const LoadedConfig before, LoadConfig({.file = flags.source.file, .sets = {}, .seed = {}}));
  TANDEM_ASSIGN_OR_RETURN(setup.loaded, LoadConfig(flags.source));
  TANDEM_RETURN_IF_ERROR(CheckBeforeRun(setup.loaded));
  TANDEM_RETURN_IF_ERROR(AskRemotes(setup.loaded));
  TANDEM_RETURN_IF_ERROR(CheckSameShape(before, setup.loaded));
  TANDEM_ASSIGN_OR_RETURN(const ResumePlan plan, PlanResume(setup.run_folder, setup.loaded.config));
  TANDEM_RETURN_IF_ERROR(CheckSameModels(setup.loaded, setup.run_folder, plan));
  setup.incarnation = plan.incarnation;
  setup.clock_offset_s = plan.clock_offset_s;
  setup.resume = plan.checkpoints;
  // The configuration of the incarnation before is kept beside the new one.
  TANDEM_RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(setup.run_folder, "/config-", plan.incarnation - 1, ".yaml"),
                                             WriteYaml(before.config)));
  TANDEM_RETURN_IF_ERROR(FillRunFolder(setup.run_folder, setup.incarnation, &setup.loaded));
  return prepared;
}

// ---- the run
// -----------------------------------------------------------------------------------------------------------

void PrintStart(const RunSetup& setup) {
  std::printf("run folder %s\n", Shown(setup.run_folder).c_str());
  for (const auto& [policy, name] : setup.resume) {
    std::printf("%s goes on from its checkpoint %s\n", policy.c_str(), name.Folder().c_str());
  }
  std::fflush(stdout);
}

absl::StatusOr<RunOutcome> Play(const RunSetup& setup, bool in_process, LiveView* view) {
  SupervisorOptions options;
  options.log_folder = setup.run_folder + "/logs";
  options.tick = [view] { view->Tick(); };
  options.say = [view](const std::string& line) { view->Say(line); };
  if (!in_process) return Supervise(PlanProcesses(setup, "/proc/self/exe"), options);
  SetUpLogging("run", "info");
  const RedirectedErrors redirected(LogFile(setup.run_folder, "in-process"));  // or logs would run through the view
  return RunInProcess(setup, options);
}

// Of a run that was stopped.
std::string HowToGoOn(const RunSetup& setup) {
  for (const std::string& policy : PolicyNames(setup.loaded.config)) {
    if (!ListCheckpoints(setup.run_folder, policy).empty()) {
      return absl::StrCat(" (stopped; tandem train --resume ", Shown(setup.run_folder), " goes on)");
    }
  }
  return " (stopped before there was anything to keep: it has no checkpoint)";
}

}  // namespace

int Train(TrainFlags flags) {
  if (!flags.seed.empty()) flags.source.seed = flags.seed;
  if (flags.source.file.empty() && flags.resume.empty()) {
    return BadInput(absl::InvalidArgumentError(
        "tandem train: CONFIG is missing; for example: tandem train configs/quickstart.yaml"));
  }
  absl::StatusOr<PrivateFolder> private_folder = PrivateFolder::Make();
  if (!private_folder.ok()) return BadInput(private_folder.status());
  absl::StatusOr<Prepared> prepared = flags.resume.empty() ? PrepareFresh(flags) : PrepareResumed(flags);
  if (!prepared.ok()) return BadInput(prepared.status());
  RunSetup& setup = prepared->setup;
  setup.private_folder = private_folder->path();
  flags.in_process |= setup.loaded.config.clock() == proto::VIRTUAL;
  const std::string& endpoint = setup.loaded.config.transport().endpoint();
  setup.endpoint = flags.in_process     ? "inproc://exchange"
                   : endpoint == "auto" ? absl::StrCat("ipc://", private_folder->path(), "/exchange")
                                        : endpoint;
  if (const absl::Status noted = NoteIncarnation(setup.run_folder, setup.incarnation); !noted.ok())
    return Failed(noted);

  BlockSignals();
  std::signal(SIGPIPE, SIG_IGN);  // a run goes on when nobody reads what it prints any more
  PrintStart(setup);
  LiveView view(setup.loaded.config, setup.loaded.config.name(), MetricsFile(setup.run_folder), stdout,
                IsTerminal(stdout));
  const absl::StatusOr<RunOutcome> outcome = Play(setup, flags.in_process, &view);
  view.Finish();
  std::printf("run        %s%s\n", Shown(setup.run_folder).c_str(),
              outcome.ok() && *outcome == RunOutcome::kStopped ? HowToGoOn(setup).c_str() : "");
  const absl::Status report = WriteReport(setup.run_folder);
  if (report.ok()) std::printf("report     %s/report.html\n", Shown(setup.run_folder).c_str());
  std::fflush(stdout);
  if (!outcome.ok()) {
    const int status = Failed(outcome.status());
    // Threads that hang cannot be ended in any other way, and they use what a normal exit would take down.
    if (flags.in_process) std::_Exit(status);
    return status;
  }
  // A run that was stopped before it measured anything has nothing to report.
  if (!report.ok() && *outcome == RunOutcome::kFinished) return Failed(Annotate(report, "the report was not written"));
  return kExitFine;
}

}  // namespace tandem
