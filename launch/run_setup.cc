#include "launch/run_setup.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "exchange/service.h"
#include "launch/build_id.h"
#include "launch/config_writer.h"
#include "launch/preflight.h"
#include "rollout/worker.h"
#include "trainer/trainer.h"

namespace tandem {
namespace {

// Whoever gives up waiting because it was told to stop has done what it was told.
absl::Status UnlessTold(absl::Status status, const std::atomic<bool>& stop) {
  return stop && absl::IsCancelled(status) ? absl::OkStatus() : status;
}

}  // namespace

absl::Status RunExchangePart(const RunSetup& setup, wire::Network& network, const std::atomic<bool>& stop) {
  ExchangeRun run;
  run.config = setup.loaded.config;
  run.run_name = std::filesystem::path(setup.run_folder).filename().string();
  run.run_folder = setup.run_folder;
  run.endpoint = setup.endpoint;
  run.build = BuildId();
  run.config_digest = ConfigDigest(setup.loaded.config);
  run.incarnation = setup.incarnation;
  run.clock_offset_s = setup.clock_offset_s;
  for (const auto& [policy, name] : setup.resume) {
    run.resume[policy] = {
        .purpose = name.sft ? proto::SFT : proto::TRAIN, .step = name.step, .incarnation = name.incarnation};
  }
  return RunExchange(run, network, stop);
}

absl::Status RunTrainerPart(const RunSetup& setup, const std::string& policy, uint32_t rank, wire::Network& network,
                            const std::atomic<bool>& stop) {
  TANDEM_ASSIGN_OR_RETURN(const TaskSource tasks, MakeTaskSource(setup.loaded));
  TrainerRun run;
  run.config = setup.loaded.config;
  run.policy = policy;
  run.rank = rank;
  run.vocabulary = tasks.tokenizer.vocabulary();
  run.run_folder = setup.run_folder;
  run.endpoint = setup.endpoint;
  run.build = BuildId();
  run.config_digest = ConfigDigest(setup.loaded.config);
  if (const auto from = setup.resume.find(policy); from != setup.resume.end()) {
    run.resume_from = CheckpointFolder(setup.run_folder, policy, from->second);
  }
  run.rendezvous = RendezvousFile(setup, policy);
  return UnlessTold(RunTrainer(run, network, stop), stop);
}

absl::Status RunWorkerPart(const RunSetup& setup, uint32_t index, wire::Network& network,
                           const std::atomic<bool>& stop) {
  TANDEM_ASSIGN_OR_RETURN(const DecoderFactory factory, MakeDecoderFactory(setup.loaded.config.rollout()));
  WorkerRun run;
  run.config = setup.loaded.config;
  run.config_folder = setup.run_folder;
  run.name = absl::StrCat("worker-", index);
  run.endpoint = setup.endpoint;
  run.build = BuildId();
  run.config_digest = ConfigDigest(setup.loaded.config);
  return UnlessTold(RunWorker(run, network, factory, stop), stop);
}

std::string RendezvousFile(const RunSetup& setup, const std::string& policy) {
  return absl::StrCat(setup.private_folder, "/ranks-", policy);
}

}  // namespace tandem
