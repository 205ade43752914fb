// exchange, trainer, worker: the processes that `train` starts.
#include <memory>
#include <zmq.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "launch/command.h"
#include "launch/logging.h"
#include "launch/run_folder.h"
#include "launch/run_setup.h"
#include "launch/stop_signals.h"

namespace tandem {
namespace {

struct Flags {
  std::string run, endpoint, private_folder;
  uint32_t incarnation = 0;
  double clock_offset_s = 0;
  std::vector<std::string> resume;
  std::string policy, checkpoint;
  uint32_t rank = 0, index = 0;
};

absl::Status AddResume(const std::string& policy, const std::string& folder, RunSetup* setup) {
  const auto name = ParseCheckpointName(folder);
  if (!name) return absl::InvalidArgumentError(absl::StrCat("--resume: ", folder, " is no name of a checkpoint"));
  setup->resume[policy] = *name;
  return absl::OkStatus();
}

absl::StatusOr<RunSetup> Prepare(const Flags& flags) {
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

using Part = std::function<absl::Status(const RunSetup&, zmq::context_t&, const std::atomic<bool>&)>;

int RunPart(const Flags& flags, const std::string& who, const Part& part) {
  const absl::StatusOr<RunSetup> setup = Prepare(flags);
  if (!setup.ok()) return BadInput(setup.status());
  StopSignals signals;  // before any other thread is started
  StartLogging(who);
  zmq::context_t context(1);
  const absl::Status status = part(*setup, context, signals.stop());
  return status.ok() ? kExitFine : Failed(status);
}

void AddCommonOptions(CLI::App* app, Flags* flags) {
  app->add_option("--run", flags->run, "the run folder")->required()->type_name("DIR");
  app->add_option("--endpoint", flags->endpoint, "where the exchange listens; by default transport.endpoint")
      ->type_name("ADDRESS");
}

}  // namespace

Command MakeExchangeCommand(CLI::App& program) {
  CLI::App* app =
      program.add_subcommand("exchange", "The process where rollout and trainers meet. Started by `tandem train`.");
  auto flags = std::make_shared<Flags>();
  AddCommonOptions(app, flags.get());
  app->add_option("--incarnation", flags->incarnation, "of the versions of this run")->type_name("N");
  app->add_option("--clock-offset", flags->clock_offset_s, "where the run's clock goes on")->type_name("SECONDS");
  app->add_option("--resume", flags->resume, "what a policy goes on from")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false)
      ->type_name("POLICY=CHECKPOINT");
  return {app, [flags] { return RunPart(*flags, "exchange", RunExchangePart); }};
}

Command MakeTrainerCommand(CLI::App& program) {
  CLI::App* app =
      program.add_subcommand("trainer", "One rank of the training of one policy. Started by `tandem train`.");
  auto flags = std::make_shared<Flags>();
  AddCommonOptions(app, flags.get());
  app->add_option("--policy", flags->policy, "the policy")->required()->type_name("NAME");
  app->add_option("--rank", flags->rank, "of the ranks that train it")->type_name("N");
  app->add_option("--private", flags->private_folder, "where the ranks meet")->type_name("DIR");
  app->add_option("--resume", flags->checkpoint, "what it goes on from")->type_name("CHECKPOINT");
  return {app, [flags] {
            return RunPart(*flags, absl::StrCat("trainer-", flags->policy, "-", flags->rank),
                           [flags](const RunSetup& setup, zmq::context_t& context, const std::atomic<bool>& stop) {
                             return RunTrainerPart(setup, flags->policy, flags->rank, context, stop);
                           });
          }};
}

Command MakeWorkerCommand(CLI::App& program) {
  CLI::App* app =
      program.add_subcommand("worker", "A rollout worker. Started by `tandem train`; more may join by hand.");
  auto flags = std::make_shared<Flags>();
  AddCommonOptions(app, flags.get());
  app->add_option("--index", flags->index, "names the worker; no two of a run have the same")->type_name("N");
  return {app, [flags] {
            return RunPart(*flags, absl::StrCat("worker-", flags->index),
                           [flags](const RunSetup& setup, zmq::context_t& context, const std::atomic<bool>& stop) {
                             return RunWorkerPart(setup, flags->index, context, stop);
                           });
          }};
}

}  // namespace tandem
