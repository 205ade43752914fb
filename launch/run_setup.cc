#include "launch/run_setup.h"

#include <algorithm>
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

// In virtual time waits are as long as the durations make them: deadlines, which are meant for those who are missing,
// leave them room. (A run that stands still ends all the same, in virtual seconds.)
proto::Config ConfigOfPart(const RunSetup& setup) {
  proto::Config config = setup.loaded.config;
  if (config.clock() == proto::REAL) return config;
  const proto::DurationsConfig& durations = config.durations();
  double longest_s = 1000 * durations.decode_step_s() + 100 * durations.message_s() + 100 * durations.megabyte_s();
  for (const auto& [policy, trainer] : durations.trainers()) {
    longest_s = std::max({longest_s, trainer.step_s(), trainer.sft_step_s()});
  }
  uint32_t bound = 0;
  for (const auto& [policy, of] : config.policies()) bound = std::max(bound, of.staleness().bound());
  const double room_s = 10 * (bound + 2) * longest_s;
  proto::TransportConfig& transport = *config.mutable_transport();
  transport.set_connect_s(transport.connect_s() + room_s);
  transport.set_deadline_s(transport.deadline_s() + room_s);
  return config;
}

}  // namespace

absl::Status RunExchangePart(const RunSetup& setup, wire::Network& network, const std::atomic<bool>& stop) {
  ExchangeRun run;
  run.config = ConfigOfPart(setup);
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
  TANDEM_ASSIGN_OR_RETURN(const std::unique_ptr<Environment> environment, OpenEnvironment(setup.loaded));
  TrainerRun run;
  run.config = ConfigOfPart(setup);
  run.policy = policy;
  run.rank = rank;
  run.alphabet = environment->alphabet();
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
  run.config = ConfigOfPart(setup);
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
