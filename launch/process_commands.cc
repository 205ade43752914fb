// exchange, trainer, worker: the processes that `train` starts.
#include <memory>
#include <zmq.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/log.h"
#include "base/status.h"
#include "launch/commands.h"
#include "launch/run_folder.h"
#include "launch/run_setup.h"
#include "launch/stop_signals.h"

namespace tandem {
namespace {

absl::Status AddResume(const std::string& policy, const std::string& folder, RunSetup* setup) {
  const auto name = ParseCheckpointName(folder);
  if (!name) return absl::InvalidArgumentError(absl::StrCat("--resume: ", folder, " is no name of a checkpoint"));
  setup->resume[policy] = *name;
  return absl::OkStatus();
}

absl::StatusOr<RunSetup> Prepare(const ProcessFlags& flags) {
  RunSetup setup;
  TANDEM_ASSIGN_OR_RETURN(setup.run_folder, OpenRunFolder(flags.run));
  TANDEM_ASSIGN_OR_RETURN(setup.loaded, LoadConfig({.file = ConfigFile(setup.run_folder), .sets = {}, .seed = {}}));
  setup.endpoint = flags.endpoint.empty() ? setup.loaded.config.transport().endpoint() : flags.endpoint;
  if (setup.endpoint == "auto") return absl::InvalidArgumentError("--endpoint is needed: the run's is auto");
  setup.private_folder = flags.private_folder.empty() ? setup.run_folder : flags.private_folder;
  setup.incarnation = flags.incarnation;
  setup.clock_offset_s = flags.clock_offset_s;
  for (const std::string& text : flags.resume) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits('=', 1));
    TANDEM_RETURN_IF_ERROR(AddResume(parts.first, parts.second, &setup));
  }
  if (!flags.policy.empty() && !setup.loaded.config.policies().contains(flags.policy)) {
    return absl::InvalidArgumentError(absl::StrCat("--policy ", flags.policy, ": the run has no such policy"));
  }
  if (!flags.checkpoint.empty()) TANDEM_RETURN_IF_ERROR(AddResume(flags.policy, flags.checkpoint, &setup));
  return setup;
}

using Part = std::function<absl::Status(const RunSetup&, wire::Network&, const std::atomic<bool>&)>;

int RunPart(const ProcessFlags& flags, const std::string& who, const Part& part) {
  const absl::StatusOr<RunSetup> setup = Prepare(flags);
  if (!setup.ok()) return BadInput(setup.status());
  StopSignals signals;  // before any other thread is started
  SetUpLogging(who, "info");
  zmq::context_t context(1);
  wire::ZmqNetwork network(context);
  const absl::Status status = part(*setup, network, signals.stop());
  return status.ok() ? kExitFine : Failed(status);
}

}  // namespace

int RunExchangeProcess(const ProcessFlags& flags) { return RunPart(flags, "exchange", RunExchangePart); }

int RunTrainerProcess(const ProcessFlags& flags) {
  return RunPart(flags, absl::StrCat("trainer-", flags.policy, "-", flags.rank),
                 [&](const RunSetup& setup, wire::Network& network, const std::atomic<bool>& stop) {
                   return RunTrainerPart(setup, flags.policy, flags.rank, network, stop);
                 });
}

int RunWorkerProcess(const ProcessFlags& flags) {
  return RunPart(flags, absl::StrCat("worker-", flags.index),
                 [&](const RunSetup& setup, wire::Network& network, const std::atomic<bool>& stop) {
                   return RunWorkerPart(setup, flags.index, network, stop);
                 });
}

}  // namespace tandem
