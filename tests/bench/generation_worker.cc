// Tandem's part in tests/bench/generation_peers: an engine that generates when a line on standard input asks for it.
//   generation_worker MODEL_FOLDER float32|bf16|int8
// {"batch": 8, "prompt": 16, "new": 128, "seed": 3} asks for that many sequences; the answer is about the steps in
// which all of them are decoded: {"tokens": .., "seconds": .., "cpu_seconds": .., "prefill_seconds": ..}, the last of
// what came before. {"limits": true} asks what this processor can do at most, on one thread.
#include <chrono>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "kernels/instruction_set.h"
#include "kernels/packed_linear.h"
#include "policy/files/model_folder.h"
#include "rollout/engine/decoder.h"
#include "rollout/engine/engine.h"
#include "tests/bench/cpu_time.h"
#include "tests/bench/generation_peak.h"

namespace tandem {
namespace {

using kernels::WeightType;
using nlohmann::json;

constexpr int64_t kMostSequences = 64;

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

json Generate(Engine& engine, const ModelConfig& shape, const json& ask) {
  const int32_t batch = ask.at("batch"), prompt = ask.at("prompt"), count = ask.at("new");
  if (batch < 1 || batch > kMostSequences) return {{"error", "batch: expected 1 to 64"}};
  RandomStream random(ask.at("seed").get<uint64_t>());
  int32_t begun = 0, ended = 0;
  std::vector<int32_t> tokens(static_cast<size_t>(batch));
  for (int32_t n = 0; n < batch; ++n) {
    GenerateRequest request;
    for (int32_t i = 0; i < prompt; ++i) {
      request.prompt.push_back(static_cast<int32_t>(random.Below(static_cast<uint64_t>(shape.vocabulary))));
    }
    request.max_new_tokens = count;
    request.random_key = random.Next();
    const auto submitted = engine.Submit(
        std::move(request), [&begun, &tokens, n](int32_t) { begun += tokens[static_cast<size_t>(n)]++ == 0; },
        [&ended](GenerateResult) { ++ended; });
    if (!submitted.ok()) return {{"error", std::string(submitted.status().message())}};
  }
  const double start = Now();
  while (begun < batch) engine.Step();
  const double decoding = Now(), computed = CpuTime();
  double end = decoding, computed_end = computed;
  int64_t generated = 0;
  while (ended == 0) {
    generated += engine.Step();
    end = Now(), computed_end = CpuTime();
  }
  while (ended < batch) engine.Step();
  return {{"tokens", generated},
          {"seconds", end - decoding},
          {"cpu_seconds", computed_end - computed},
          {"prefill_seconds", decoding - start}};
}

// Of the linear layers and the head; attention to a short context is little beside them.
json Limits(const ModelConfig& c, WeightType type) {
  const int64_t q_width = c.heads * c.head_size(), kv_width = c.kv_heads * c.head_size();
  const int64_t layer = c.hidden * (q_width + 2 * kv_width) + q_width * c.hidden + 3 * c.hidden * c.intermediate;
  const auto weights = static_cast<double>(c.layers * layer + c.vocabulary * c.hidden);
  const double bytes = weights * (type == WeightType::kFloat32 ? 4 : type == WeightType::kBf16 ? 2 : 1);
  return {{"gflops", (type == WeightType::kFloat32 ? PeakFlops(0.5) : PeakDotFlops(type, 0.5)) / 1e9},
          {"gbytes_per_second", ReadRate(static_cast<int64_t>(bytes), 1) / 1e9},
          {"flops_per_token", 2 * weights},
          {"bytes_per_step", bytes}};
}

int Main(const std::string& path, WeightType type) {
  const auto folder = LoadModelFolder(path);
  std::vector<float> weights;
  absl::Status status = folder.status();
  if (status.ok()) {
    weights.resize(static_cast<size_t>(ParameterCount(folder->shape())));
    status = ReadWeights(*folder, weights);
  }
  if (!status.ok()) {
    std::cout << json{{"error", std::string(status.message())}} << std::endl;
    return 1;
  }
  const ModelConfig& shape = folder->shape();
  Engine engine(MakeCpuDecoder(shape, CachePages(shape.context, kMostSequences), type),
                EngineOptions{.max_batch = kMostSequences});
  TANDEM_CHECK(engine.Install({1, 0}, weights).ok());
  weights = {};
  std::cout << json{{"ready", true}, {"engine", "tandem"}, {"note", kernels::InstructionSet()}} << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    const json ask = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (ask.is_discarded()) {
      std::cout << json{{"error", "no JSON"}} << std::endl;
    } else {
      std::cout << (ask.contains("limits") ? Limits(shape, type) : Generate(engine, shape, ask)) << std::endl;
    }
  }
  return 0;
}

}  // namespace
}  // namespace tandem

int main(int count, char** arguments) {
  using tandem::kernels::WeightType;
  const std::string precision = count == 3 ? arguments[2] : "";
  if (precision != "float32" && precision != "bf16" && precision != "int8") {
    std::fprintf(stderr, "usage: generation_worker MODEL_FOLDER float32|bf16|int8\n");
    return 2;
  }
  return tandem::Main(arguments[1], precision == "float32" ? WeightType::kFloat32
                                    : precision == "bf16"  ? WeightType::kBf16
                                                           : WeightType::kInt8);
}
