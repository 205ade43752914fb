#include "launch/preflight.h"

#include <algorithm>
#include <zmq.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/log.h"
#include "base/status.h"
#include "exchange/lag.h"
#include "launch/config_check.h"
#include "policy/device.h"
#include "proto/wire/client.h"
#include "rollout/model_shape.h"
#include "rollout/remote/remote_calls.h"
#include "trainer/loss.h"

namespace tandem {
namespace {

constexpr uint64_t kSampledTasks = 256;  // of each split, for the longest prompt
constexpr double kSayThatItTakesLong_s = 2;

std::string DeviceName(proto::Device device) { return absl::AsciiStrToLower(proto::Device_Name(device)); }

// An error of the environment begins with its key ("environment.modulus: ...") or with a file of tasks and the line.
absl::Status Place(const LoadedConfig& loaded, const absl::Status& status) {
  const std::string message(status.message());
  const std::pair<std::string, std::string> parts = absl::StrSplit(message, absl::MaxSplits(": ", 1));
  if (absl::StartsWith(parts.first, "environment")) return loaded.places.Error(parts.first, parts.second);
  if (!loaded.config.environment().tasks().empty()) return absl::InvalidArgumentError(message);
  return loaded.places.Error("environment", message);
}

// Raises `longest` to the prompt's tokens. The error names the text, which the policy's tokenizer cannot say.
absl::Status CountTokens(const LoadedConfig& loaded, const PolicySource& source, const std::string& text,
                         int64_t* longest) {
  const absl::StatusOr<std::vector<int32_t>> ids = source.language->Prompt(text);
  if (!ids.ok()) return Place(loaded, Annotate(ids.status(), absl::StrCat("environment: prompt \"", text, "\"")));
  *longest = std::max(*longest, static_cast<int64_t>(ids->size()));
  return absl::OkStatus();
}

// The longest prompts of planner and executor over a sample of tasks, in tokens.
absl::Status LongestPrompts(const LoadedConfig& loaded, const Environment& environment, const PolicySource& planner,
                            const PolicySource& executor, int64_t* longest_plan, int64_t* longest_step) {
  std::vector<proto::Split> splits = {proto::TRAINING};
  if (loaded.config.evaluation().episodes() > 0) splits.push_back(proto::HELD_OUT);
  for (const proto::Split split : splits) {
    for (uint64_t index = 0; index < kSampledTasks; ++index) {
      const auto task = environment.MakeTask(split, index);
      if (!task.ok()) return Place(loaded, task.status());
      TANDEM_RETURN_IF_ERROR(CountTokens(loaded, planner, environment.PlannerPrompt(*task), longest_plan));
      const std::string plan = environment.ScriptedPlan(*task, nullptr);
      for (const absl::string_view node : absl::StrSplit(plan, ';', absl::SkipEmpty())) {
        std::string step(node.substr(node.find('=') + 1));
        for (char& c : step) c = absl::ascii_isupper(c) ? '1' : c;
        TANDEM_RETURN_IF_ERROR(CountTokens(loaded, executor, environment.ExecutorPrompt(step), longest_step));
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

absl::StatusOr<std::unique_ptr<Environment>> OpenEnvironment(const LoadedConfig& loaded) {
  auto environment = MakeEnvironment(loaded.config.environment(), loaded.config.seed(), loaded.folder);
  if (!environment.ok()) return Place(loaded, environment.status());
  return environment;
}

absl::StatusOr<PolicySource> OpenPolicy(const LoadedConfig& loaded, const std::string& policy,
                                        const Environment& environment) {
  const proto::PolicyConfig& config = loaded.config.policies().at(policy);
  absl::StatusOr<PolicySource> source =
      OpenPolicySource(config.init(), ModelShape(config.model(), 0), environment.alphabet(), config.system());
  if (source.ok()) return source;
  return loaded.places.Error(absl::StrCat("policies.", policy, config.init().empty() ? ".model" : ".init"),
                             std::string(source.status().message()));
}

absl::Status CheckBeforeRun(const LoadedConfig& loaded) {
  TANDEM_RETURN_IF_ERROR(CheckConfig(loaded, {.environments = EnvironmentNames(), .losses = LossNames()}));
  TANDEM_ASSIGN_OR_RETURN(const std::unique_ptr<Environment> environment, OpenEnvironment(loaded));
  const auto open = [&](const char* role) {
    const proto::RoleConfig& bound = loaded.config.roles().at(role);
    if (!bound.has_remote()) return OpenPolicy(loaded, bound.policy(), *environment);
    // Its own tokenizer and context are not known here.
    absl::StatusOr<PolicySource> source = OpenPolicySource("", ModelShape({}, 0), environment->alphabet(), "");
    if (source.ok()) source->shape.context = INT32_MAX;
    return source;
  };
  for (const auto& [role, bound] : loaded.config.roles()) {
    if (!bound.has_remote()) continue;
    const auto key = RemoteKey(bound.remote());
    if (key.ok()) continue;
    return loaded.places.Error(absl::StrCat("roles.", role, ".remote.api_key_env"),
                               std::string(key.status().message()));
  }
  TANDEM_ASSIGN_OR_RETURN(const PolicySource planner, open("planner"));
  TANDEM_ASSIGN_OR_RETURN(const PolicySource executor, open("executor"));
  int64_t plan = 0, step = 0;
  TANDEM_RETURN_IF_ERROR(LongestPrompts(loaded, *environment, planner, executor, &plan, &step));
  TANDEM_RETURN_IF_ERROR(CheckContexts(loaded, {plan, planner.shape.context}, {step, executor.shape.context}));
  TANDEM_RETURN_IF_ERROR(CheckLags(loaded));
  TANDEM_RETURN_IF_ERROR(CheckDevices(loaded));
  return CheckEndpoint(loaded);
}

absl::Status AskRemotes(const LoadedConfig& loaded) {
  for (const auto& [role, bound] : loaded.config.roles()) {
    if (!bound.has_remote()) continue;
    TANDEM_ASSIGN_OR_RETURN(RemoteUrl url, ParseRemoteUrl(bound.remote().url()));
    TANDEM_ASSIGN_OR_RETURN(std::string key, RemoteKey(bound.remote()));
    RemoteCalls calls(RemoteModel(bound.remote(), std::move(url), std::move(key)));
    calls.Begin({.prompt = "1", .max_tokens = 1, .seed = 0});
    std::vector<std::pair<uint64_t, RemoteReply>> replies;
    while (replies.empty()) {
      calls.Wait(kSayThatItTakesLong_s);
      replies = calls.Take();
      if (replies.empty()) LogInfo("waiting for an answer of ", calls.model().name());
    }
    const RemoteReply& reply = replies[0].second;
    if (!reply.fault.empty()) return loaded.places.Error(absl::StrCat("roles.", role, ".remote"), reply.detail);
  }
  return absl::OkStatus();
}

absl::StatusOr<DecoderFactory> MakeDecoderFactory(const proto::RolloutConfig& rollout) {
  TANDEM_ASSIGN_OR_RETURN(const std::string device, ResolveDevice(DeviceName(rollout.device())));
  const kernels::WeightType weights = EngineWeights(rollout);
  return DecoderFactory([device, weights](const ModelConfig& shape, int64_t pages) {
    return MakeDecoder(shape, pages, device, weights);
  });
}

}  // namespace tandem
