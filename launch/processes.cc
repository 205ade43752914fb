#include "launch/processes.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace tandem {
namespace {

// One process's arithmetic on more threads than its share of the cores makes all of them slower; idle threads sleep.
std::map<std::string, std::string> ThreadEnvironment(uint32_t threads) {
  return {{"OMP_NUM_THREADS", absl::StrCat(threads)},
          {"MKL_NUM_THREADS", absl::StrCat(threads)},
          {"OMP_WAIT_POLICY", "passive"}};
}

ChildSpec Spec(ChildSpec::Kind kind, std::string name, const std::string& executable, std::vector<std::string> argv,
               uint32_t threads) {
  ChildSpec spec;
  spec.kind = kind;
  spec.name = std::move(name);
  spec.executable = executable;
  spec.argv = std::move(argv);
  spec.environment = ThreadEnvironment(threads);
  return spec;
}

// The checkpoint that a policy goes on from when the run begins, and when its trainer was killed in the middle.
std::optional<CheckpointName> StartOf(const RunSetup& setup, const std::string& policy) {
  const auto from = setup.resume.find(policy);
  return from == setup.resume.end() ? std::nullopt : std::optional(from->second);
}
std::optional<CheckpointName> NewestOf(const RunSetup& setup, const std::string& policy) {
  const std::vector<CheckpointName> names = ListCheckpoints(setup.run_folder, policy);
  return !names.empty() && names.back().incarnation == setup.incarnation ? names.back() : StartOf(setup, policy);
}

std::vector<std::string> WithCheckpoint(std::vector<std::string> argv, const std::optional<CheckpointName>& name) {
  if (name) argv.insert(argv.end(), {"--resume", name->Folder()});
  return argv;
}

}  // namespace

int AvailableCores() {
  int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  double quota = 0, period = 0;
  if (std::ifstream file("/sys/fs/cgroup/cpu.max"); file >> quota >> period && quota > 0 && period > 0) {
    cores = std::min(cores, std::max(1, static_cast<int>(quota / period)));
  }
  return cores;
}

uint32_t WorkerCount(const proto::Config& config, int cores) {
  if (config.rollout().workers() > 0) return config.rollout().workers();
  if (config.clock() == proto::VIRTUAL) return 1;  // the same on every machine
  int64_t needed = 0;
  for (const auto& [name, policy] : config.policies()) needed += int64_t{policy.ranks()} * policy.threads();
  return static_cast<uint32_t>(std::max<int64_t>(1, cores - needed));
}

std::vector<ChildSpec> PlanProcesses(const RunSetup& setup, const std::string& executable) {
  const proto::Config& config = setup.loaded.config;
  const std::vector<std::string> common = {"--run", setup.run_folder, "--endpoint", setup.endpoint};
  const auto with_common = [&](std::vector<std::string> argv) {
    argv.insert(argv.end(), common.begin(), common.end());
    return argv;
  };
  std::vector<ChildSpec> specs;

  std::vector<std::string> exchange = with_common({"tandem", "exchange"});
  exchange.insert(exchange.end(), {"--incarnation", absl::StrCat(setup.incarnation), "--clock-offset",
                                   absl::StrFormat("%.3f", setup.clock_offset_s)});
  for (const auto& [policy, name] : setup.resume) {
    exchange.insert(exchange.end(), {"--resume", absl::StrCat(policy, "=", name.Folder())});
  }
  specs.push_back(Spec(ChildSpec::kExchange, "exchange", executable, exchange, 1));

  for (const std::string& policy : PolicyNames(config)) {
    for (uint32_t rank = 0; rank < config.policies().at(policy).ranks(); ++rank) {
      std::vector<std::string> argv =
          with_common({"tandem", "trainer", "--policy", policy, "--rank", absl::StrCat(rank)});
      argv.insert(argv.end(), {"--private", setup.private_folder});
      ChildSpec spec = Spec(ChildSpec::kTrainer, absl::StrCat("trainer-", policy, "-", rank), executable,
                            WithCheckpoint(argv, StartOf(setup, policy)), config.policies().at(policy).threads());
      spec.team = policy;
      spec.argv_again = [setup, policy, argv] {
        std::error_code error;
        std::filesystem::remove(RendezvousFile(setup, policy), error);  // where the ranks before met
        return WithCheckpoint(argv, NewestOf(setup, policy));
      };
      specs.push_back(std::move(spec));
    }
  }
  for (uint32_t index = 0; index < WorkerCount(config, AvailableCores()); ++index) {
    specs.push_back(Spec(ChildSpec::kWorker, absl::StrCat("worker-", index), executable,
                         with_common({"tandem", "worker", "--index", absl::StrCat(index)}), 1));
  }
  return specs;
}

}  // namespace tandem
