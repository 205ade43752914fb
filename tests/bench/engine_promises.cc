// Two promises of the engine, measured on one pinned thread:
//   new weights cost a pause of at most one decode step (99th percentile), and no prompt is read in again;
//   2,000 requests of mixed length under a quarter of the cache that they take without a bound all complete, at 85 % of
//   the throughput or more, and the process does not grow from round to round.
// Build the target `engine_promises` and run it; `engine_promises --soak SECONDS` goes on with bounded rounds that
// long.

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/random.h"
#include "base/status.h"
#include "launch/allocator.h"
#include "proto/config.pb.h"
#include "rollout/engine/decoder.h"
#include "rollout/engine/engine.h"
#include "tests/bench/cpu_time.h"
#include "tests/bench/process_usage.h"
#include "tests/bench/random_weights.h"

namespace tandem {
namespace {

using kernels::WeightType;

constexpr uint32_t kUpdates = 30;

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double Percentile(std::vector<double> values, double share) {
  std::ranges::sort(values);
  return values[std::min(values.size() - 1, static_cast<size_t>(share * static_cast<double>(values.size())))];
}

GenerateRequest Request(const ModelConfig& config, int64_t prompt, int64_t output, RandomStream& random) {
  GenerateRequest request;
  for (int64_t i = 0; i < prompt; ++i) {
    request.prompt.push_back(static_cast<int32_t>(random.Below(static_cast<uint64_t>(config.vocabulary))));
  }
  request.max_new_tokens = static_cast<int32_t>(output);
  request.random_key = random.Next();
  return request;
}

// Generates while new weights come again and again, as they come to a worker: chunks that it joins between two steps,
// and whose digest it takes, for a quarter of a step's time; then a part that is packed before each step.
void WeightUpdates(const char* name, const ModelConfig& config, WeightType type, int64_t batch) {
  const size_t chunk_bytes = proto::TransportConfig().chunk_bytes();
  constexpr double kListenShare = 0.25;  // as in rollout/worker.cc
  const std::vector<float> weights[2] = {RandomWeights(config, 1), RandomWeights(config, 2)};
  Engine engine(MakeCpuDecoder(config, CachePages(config.context, batch), type), EngineOptions{.max_batch = batch});
  engine.ExpectUpdates();
  TANDEM_CHECK(engine.Install({1, 0}, weights[0]).ok());
  std::string bytes(weights[0].size() * sizeof(float), 'x');  // those of version 0 came here
  RandomStream random(3);
  int64_t live = 0;
  const auto fill = [&] {
    for (; live < batch; ++live) {
      TANDEM_CHECK(engine.Submit(Request(config, 16, 400, random), {}, [&live](GenerateResult) { --live; }).ok());
    }
  };
  fill();
  for (int i = 0; i < 40; ++i) engine.Step();  // all are being decoded
  std::vector<double> quiet, updating;         // decode steps
  const uint64_t rows = engine.rows_run(), tokens = engine.tokens_generated();
  double step_s = 0;
  const auto step = [&](std::vector<double>& times, const auto& before) {
    const double start = Now();
    before();
    const double ready = Now();
    const uint64_t rows_before = engine.rows_run();
    const int64_t tokens = engine.Step();
    const double end = Now();
    step_s = end - ready;
    if (static_cast<int64_t>(engine.rows_run() - rows_before) == tokens) times.push_back(end - start);  // no prompts
    fill();
  };
  for (uint32_t version = 1; version <= kUpdates; ++version) {
    for (int i = 0; i < 16; ++i) step(quiet, [] {});
    const std::vector<float>& from = weights[version % 2];
    const std::string_view sent(reinterpret_cast<const char*>(from.data()), from.size() * sizeof(float));
    bytes.clear();
    RunningDigest digest;
    const auto receive = [&] {
      const double end = Now() + kListenShare * step_s;
      do {
        const std::string_view chunk = sent.substr(bytes.size(), chunk_bytes);
        bytes.append(chunk);
        digest.Add(chunk);
      } while (bytes.size() < sent.size() && Now() < end);
      if (bytes.size() < sent.size()) return;
      const std::span numbers(reinterpret_cast<const float*>(bytes.data()), from.size());
      TANDEM_CHECK(engine.InstallOverSteps({1, version}, numbers).ok());
    };
    while (bytes.size() < sent.size()) step(updating, receive);
    while (engine.installing()) step(updating, [] {});
  }
  const double without = Percentile(quiet, 0.5);
  std::printf(
      "%s, batch %d: a step takes %.2f ms (median; p99 %.2f); while new weights come %.2f ms (median; p99 %.2f): "
      "a pause of %.2f steps (median), %.2f (p99, of %.2f without); %.2f rows read in a token\n",
      name, static_cast<int>(batch), 1e3 * without, 1e3 * Percentile(quiet, 0.99), 1e3 * Percentile(updating, 0.5),
      1e3 * Percentile(updating, 0.99), Percentile(updating, 0.5) / without - 1,
      Percentile(updating, 0.99) / without - 1, Percentile(quiet, 0.99) / without - 1,
      static_cast<double>(engine.rows_run() - rows) / static_cast<double>(engine.tokens_generated() - tokens));
}

struct Round {
  double seconds = 0;
  int64_t tokens = 0, completed = 0, most_pages = 0;
  uint64_t preemptions = 0;
};

// Prompts of 16 to 2,048 tokens and outputs of 1 to 512, all there at once; lengths are uniform in their logarithms.
Round Mixed(const ModelConfig& config, int64_t count, int64_t pages, uint64_t seed) {
  Engine engine(MakeCpuDecoder(config, pages), EngineOptions{.max_batch = 64});
  static const std::vector<float> weights = RandomWeights(config, 1);
  TANDEM_CHECK(engine.Install({1, 0}, weights).ok());
  RandomStream random(seed);
  const auto length = [&](double low, double high) {
    return std::llround(low * std::pow(high / low, random.Uniform()));
  };
  Round round;
  for (int64_t n = 0; n < count; ++n) {
    const int64_t prompt = length(16, 2048), output = length(1, 512);
    const auto submitted =
        engine.Submit(Request(config, prompt, output, random), {}, [&round, output](GenerateResult result) {
          round.completed += static_cast<int64_t>(result.output.size()) == output;
        });
    TANDEM_CHECK(submitted.ok());
  }
  const double start = Now();
  while (engine.Step() > 0) round.most_pages = std::max(round.most_pages, engine.pages_held());
  round.seconds = Now() - start;
  round.tokens = static_cast<int64_t>(engine.tokens_generated());
  round.preemptions = engine.preemptions();
  return round;
}

void Pressure(double soak_s) {
  const ModelConfig config = {.vocabulary = 320,
                              .hidden = 64,
                              .layers = 2,
                              .heads = 4,
                              .kv_heads = 2,
                              .intermediate = 192,
                              .context = 2560,
                              .tied_head = true};
  constexpr int64_t kRequests = 2000;
  const int64_t unbounded = CachePages(config.context, 64);
  int64_t quarter = 0;
  std::vector<double> ratios;
  for (int i = 0; i < 5; ++i) {
    const Round free = Mixed(config, kRequests, unbounded, 7);
    quarter = std::max(free.most_pages / 4, CachePages(config.context, 1));
    const Round bounded = Mixed(config, kRequests, quarter, 7);
    ratios.push_back(free.seconds / bounded.seconds);
    std::printf(
        "2,000 requests: %.0f tokens/s with up to %d pages; %.0f tokens/s with %d: %.2f of it; %d and %d "
        "complete, %d preemptions; %.0f MB\n",
        static_cast<double>(free.tokens) / free.seconds, static_cast<int>(free.most_pages),
        static_cast<double>(bounded.tokens) / bounded.seconds, static_cast<int>(quarter), ratios.back(),
        static_cast<int>(free.completed), static_cast<int>(bounded.completed), static_cast<int>(bounded.preemptions),
        ResidentMegabytes(getpid()));
    std::fflush(stdout);
  }
  std::printf("a quarter of the cache gives %.2f of the throughput (median of %zu)\n", Percentile(ratios, 0.5),
              ratios.size());
  const double end = Now() + soak_s;
  for (uint64_t round = 0; Now() < end; ++round) {
    const Round bounded = Mixed(config, kRequests, quarter, 100 + round);
    std::printf("soak, round %d: %d complete, %.0f tokens/s, %.1f MB\n", static_cast<int>(round),
                static_cast<int>(bounded.completed), static_cast<double>(bounded.tokens) / bounded.seconds,
                ResidentMegabytes(getpid()));
    std::fflush(stdout);
  }
}

void Main(double soak_s) {
  PinThread();
  const ModelConfig a = {.vocabulary = 320,
                         .hidden = 128,
                         .layers = 4,
                         .heads = 4,
                         .kv_heads = 2,
                         .intermediate = 512,
                         .context = 2048,
                         .tied_head = true};
  ModelConfig b = a;
  b.vocabulary = 8192, b.hidden = 512, b.layers = 8, b.heads = 8, b.kv_heads = 4, b.intermediate = 1408;
  for (const int64_t batch : {8, 32}) {
    WeightUpdates("(a) float32", a, WeightType::kFloat32, batch);
    WeightUpdates("(b) float32", b, WeightType::kFloat32, batch);
    WeightUpdates("(b) bf16", b, WeightType::kBf16, batch);
  }
  Pressure(soak_s);
}

}  // namespace
}  // namespace tandem

int main(int count, char** arguments) {
  double soak_s = 0;
  if (count == 3 && std::strcmp(arguments[1], "--soak") == 0) soak_s = std::atof(arguments[2]);
  if (count != 1 && soak_s <= 0) {
    std::fprintf(stderr, "usage: engine_promises [--soak SECONDS]\n");
    return 2;
  }
  tandem::KeepFreedMemory();
  tandem::Main(soak_s);
  return 0;
}
