// A whole run, exchange, trainers and workers, as threads of the test.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>
#include <zmq.hpp>

#include "absl/strings/str_cat.h"
#include "base/digest.h"
#include "exchange/service.h"
#include "launch/config.h"
#include "policy/tokenizer/character_tokenizer.h"
#include "rollout/worker.h"
#include "trainer/checkpoint.h"
#include "trainer/model_shape.h"
#include "trainer/trainer.h"

namespace tandem {

// A folder that is there as long as it is.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "tandem-system-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~ScratchFolder() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// configs/controls/NAME.yaml.
inline LoadedConfig Control(const std::string& name, std::vector<std::string> sets = {}) {
  const std::string file = absl::StrCat("configs/controls/", name, ".yaml");
  auto loaded = LoadConfig({.file = file, .sets = std::move(sets), .seed = {}});
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return *std::move(loaded);
}

inline absl::StatusOr<std::unique_ptr<Environment>> EnvironmentOf(const LoadedConfig& loaded) {
  return MakeEnvironment(loaded.config.environment(), loaded.config.seed(), loaded.folder);
}

inline int64_t VocabularyOf(const Environment& environment) {
  return CharacterTokenizer::Create(environment.alphabet())->vocabulary();
}

inline absl::StatusOr<std::unique_ptr<Decoder>> CpuDecoder(const ModelConfig& shape, int64_t pages) {
  return MakeCpuDecoder(shape, pages);
}

// The first error of any part; OK when the run finished.
inline absl::Status RunInOneProcess(const LoadedConfig& loaded, const std::string& folder, int workers) {
  const std::string endpoint = absl::StrCat("inproc://", folder);
  zmq::context_t context;
  wire::ZmqNetwork network{context};
  std::atomic<bool> stop = false;
  const std::string alphabet = (*EnvironmentOf(loaded))->alphabet();
  std::vector<std::future<absl::Status>> parts;
  const auto start = [&](auto part) {
    parts.push_back(std::async(std::launch::async, [&stop, part]() -> absl::Status {
      absl::Status status = part();
      if (!status.ok()) stop = true;
      return status;
    }));
  };
  start([&] {
    ExchangeRun run;
    run.config = loaded.config;
    run.run_name = "test";
    run.run_folder = folder;
    run.endpoint = endpoint;
    run.build = "test";
    return RunExchange(run, network, stop);
  });
  for (const auto& [policy, config] : loaded.config.policies()) {
    start([&, policy = policy] {
      TrainerRun run;
      run.config = loaded.config;
      run.policy = policy;
      run.alphabet = alphabet;
      run.run_folder = folder;
      run.endpoint = endpoint;
      run.build = "test";
      return RunTrainer(run, network, stop);
    });
  }
  for (int i = 0; i < workers; ++i) {
    start([&, i] {
      WorkerRun run;
      run.config = loaded.config;
      run.config_folder = loaded.folder;
      run.name = absl::StrCat("worker-", i);
      run.endpoint = endpoint;
      run.build = "test";
      return RunWorker(run, network, CpuDecoder, stop);
    });
  }
  absl::Status first;
  for (auto& part : parts) first.Update(part.get());
  return first;
}

// The lines of RUN/metrics.jsonl of one kind.
inline std::vector<nlohmann::json> MetricsOf(const std::string& folder, const std::string& kind) {
  std::vector<nlohmann::json> lines;
  std::ifstream file(folder + "/metrics.jsonl");
  for (std::string line; std::getline(file, line);) {
    nlohmann::json json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_discarded() && json["kind"] == kind) lines.push_back(std::move(json));
  }
  return lines;
}

// Of the weights in the last checkpoint of a run that finished.
inline std::string TrainedDigest(const LoadedConfig& loaded, const std::string& folder, const std::string& policy) {
  const auto environment = EnvironmentOf(loaded);
  const ModelConfig shape = TrainerModelShape(loaded.config.policies().at(policy).model(), VocabularyOf(**environment));
  const auto weights = LoadWeights(CheckpointFolder(folder, policy, {0, false, loaded.config.train().steps()}), shape);
  EXPECT_TRUE(weights.ok()) << weights.status();
  if (!weights.ok()) return "";
  return Digest({reinterpret_cast<const char*>(weights->data()), weights->size() * sizeof(float)});
}

}  // namespace tandem
