#include "launch/preflight.h"

#include <algorithm>
#include <zmq.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "exchange/lag.h"
#include "launch/config_check.h"
#include "policy/device.h"
#include "proto/wire/client.h"
#include "trainer/loss.h"

namespace tandem {
namespace {

constexpr uint64_t kSampledTasks = 256;  // of each split, for the longest prompt

std::string DeviceName(proto::Device device) { return absl::AsciiStrToLower(proto::Device_Name(device)); }

// An error of the environment begins with its key ("environment.modulus: ...") or with a file of tasks and the line.
absl::Status Place(const LoadedConfig& loaded, const absl::Status& status) {
  const std::string message(status.message());
  const std::pair<std::string, std::string> parts = absl::StrSplit(message, absl::MaxSplits(": ", 1));
  if (absl::StartsWith(parts.first, "environment")) return loaded.places.Error(parts.first, parts.second);
  if (!loaded.config.environment().tasks().empty()) return absl::InvalidArgumentError(message);
  return loaded.places.Error("environment", message);
}

// The longest prompts of planner and executor over a sample of tasks, in tokens.
absl::Status LongestPrompts(const LoadedConfig& loaded, const TaskSource& source, int64_t* planner, int64_t* executor) {
  std::vector<proto::Split> splits = {proto::TRAINING};
  if (loaded.config.evaluation().episodes() > 0) splits.push_back(proto::HELD_OUT);
  for (const proto::Split split : splits) {
    for (uint64_t index = 0; index < kSampledTasks; ++index) {
      const auto task = source.environment->MakeTask(split, index);
      if (!task.ok()) return Place(loaded, task.status());
      *planner = std::max<int64_t>(*planner, source.environment->PlannerPrompt(*task).size());
      const std::string plan = source.environment->ScriptedPlan(*task, nullptr);
      for (const absl::string_view node : absl::StrSplit(plan, ';', absl::SkipEmpty())) {
        std::string step(node.substr(node.find('=') + 1));
        for (char& c : step) c = absl::ascii_isupper(c) ? '1' : c;
        *executor = std::max<int64_t>(*executor, source.environment->ExecutorPrompt(step).size());
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckDevices(const LoadedConfig& loaded) {
  std::vector<std::string> keys;
  if (loaded.config.rollout().device() == proto::CUDA) keys.push_back("rollout.device");
  for (const std::string& policy : PolicyNames(loaded.config)) {
    if (loaded.config.policies().at(policy).device() == proto::CUDA) {
      keys.push_back(absl::StrCat("policies.", policy, ".device"));
    }
  }
  if (keys.empty()) return absl::OkStatus();
  const auto device = ResolveDevice("cuda");
  if (device.ok()) return absl::OkStatus();
  return loaded.places.Error(keys.front(), absl::StrCat("cuda was asked for: ", device.status().message()));
}

absl::Status CheckLags(const LoadedConfig& loaded) {
  const absl::Status status = MakeLagModels(loaded.config, loaded.folder).status();
  const std::string message(status.message());
  const std::pair<std::string, std::string> parts = absl::StrSplit(message, absl::MaxSplits(": ", 1));
  return absl::StartsWith(parts.first, "lag.") ? loaded.places.Error(parts.first, parts.second) : status;
}

// A port in use is found out here, and not when all processes have been started.
absl::Status CheckEndpoint(const LoadedConfig& loaded) {
  const std::string& endpoint = loaded.config.transport().endpoint();
  if (!absl::StartsWith(endpoint, "tcp://")) return absl::OkStatus();
  for (const std::string& address : {endpoint, wire::AnnounceEndpoint(endpoint)}) {
    try {
      zmq::context_t context(1);
      zmq::socket_t socket(context, ZMQ_ROUTER);
      socket.bind(address);
    } catch (const zmq::error_t& error) {
      return loaded.places.Error("transport.endpoint", absl::StrCat(address, ": ", error.what()));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TaskSource> MakeTaskSource(const LoadedConfig& loaded) {
  auto environment = MakeEnvironment(loaded.config.environment(), loaded.config.seed(), loaded.folder);
  if (!environment.ok()) return Place(loaded, environment.status());
  auto tokenizer = CharacterTokenizer::Create((*environment)->alphabet());
  if (!tokenizer.ok()) return Place(loaded, tokenizer.status());
  return TaskSource{*std::move(environment), *std::move(tokenizer)};
}

absl::Status CheckBeforeRun(const LoadedConfig& loaded) {
  TANDEM_RETURN_IF_ERROR(CheckConfig(loaded, {.environments = EnvironmentNames(), .losses = LossNames()}));
  TANDEM_ASSIGN_OR_RETURN(const TaskSource source, MakeTaskSource(loaded));
  int64_t planner = 0, executor = 0;
  TANDEM_RETURN_IF_ERROR(LongestPrompts(loaded, source, &planner, &executor));
  TANDEM_RETURN_IF_ERROR(CheckContexts(loaded, planner, executor));
  TANDEM_RETURN_IF_ERROR(CheckLags(loaded));
  TANDEM_RETURN_IF_ERROR(CheckDevices(loaded));
  return CheckEndpoint(loaded);
}

absl::StatusOr<DecoderFactory> MakeDecoderFactory(const proto::RolloutConfig& rollout) {
  TANDEM_ASSIGN_OR_RETURN(const std::string device, ResolveDevice(DeviceName(rollout.device())));
  if (device == "cpu") {
    return DecoderFactory([](const ModelConfig& shape, int64_t slots) -> absl::StatusOr<std::unique_ptr<Decoder>> {
      return MakeCpuDecoder(shape, slots);
    });
  }
  const bool bf16 = rollout.precision() == proto::BF16;
  return DecoderFactory(
      [device, bf16](const ModelConfig& shape, int64_t slots) { return MakeAtenDecoder(shape, slots, device, bf16); });
}

}  // namespace tandem
