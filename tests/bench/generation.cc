// How fast the CPU engine generates, on one pinned thread: against plain ATen decoding in the same process, in turn,
// and against the processor's limit of multiply-adds. Build the target `generation` and run it without arguments.
#include <ATen/Parallel.h>

#include <cmath>
#include <cstdio>
#include <memory>

#include "base/random.h"
#include "base/status.h"
#include "kernels/instruction_set.h"
#include "launch/allocator.h"
#include "rollout/engine/decoder.h"
#include "rollout/engine/engine.h"
#include "tests/bench/cpu_time.h"
#include "tests/bench/generation_peak.h"
#include "tests/bench/generation_plain_aten.h"
#include "tests/bench/random_weights.h"

namespace tandem {
namespace {

constexpr int kRounds = 7;

// Counts what a decoder does: its CPU time, and the floating-point operations of its linear layers and attention.
class MeteredDecoder final : public Decoder {
 public:
  struct Meter {
    double seconds = 0;
    double flops = 0;
  };
  MeteredDecoder(std::unique_ptr<Decoder> decoder, Meter* meter) : decoder_(std::move(decoder)), meter_(meter) {}
  const ModelConfig& config() const override { return decoder_->config(); }
  int64_t pages() const override { return decoder_->pages(); }
  void Use(int32_t set) override { decoder_->Use(set); }
  absl::Status Load(std::span<const float> weights) override { return decoder_->Load(weights); }
  void Run(std::span<const DecodeRow> rows, std::span<SampledToken> sampled) override {
    const double start = CpuTime();
    decoder_->Run(rows, sampled);
    meter_->seconds += CpuTime() - start;
    for (const DecodeRow& row : rows) meter_->flops += RowFlops(row);
  }
  void CopyPage(int32_t from, int32_t to) override {
    const double start = CpuTime();
    decoder_->CopyPage(from, to);
    meter_->seconds += CpuTime() - start;
  }

 private:
  // What is really computed: with a small vocabulary the first layer's projections are looked up, and of rows that do
  // not sample the last layer computes only the projections.
  double RowFlops(const DecodeRow& row) const {
    const ModelConfig& c = config();
    const double q = static_cast<double>(c.heads * c.head_size()), kv = static_cast<double>(c.kv_heads * c.head_size());
    const double hidden = static_cast<double>(c.hidden), layers = static_cast<double>(c.layers);
    const double qkv = 2 * hidden * (q + 2 * kv), head = 2 * hidden * static_cast<double>(c.vocabulary);
    const double rest = 2 * q * hidden + 6 * hidden * static_cast<double>(c.intermediate) + 4 * q * (row.position + 1);
    return row.sample ? (layers - 1) * qkv + layers * rest + head : (layers - 1) * (qkv + rest);
  }

  std::unique_ptr<Decoder> decoder_;
  Meter* meter_;
};

struct Measured {
  double seconds = 0, tokens = 0, rows = 0;
  MeteredDecoder::Meter decoder;
};

// An engine with the weights in it.
struct Bench {
  Bench(const ModelConfig& config, const std::vector<float>& weights, int64_t slots, int64_t max_batch)
      : engine(std::make_unique<MeteredDecoder>(MakeCpuDecoder(config, CachePages(config.context, slots)), &meter),
               EngineOptions{.max_batch = max_batch}) {
    TANDEM_CHECK(engine.Install({1, 0}, weights).ok());
  }
  // Runs `turns` to their ends.
  Measured Run(std::vector<GenerateRequest> turns) {
    meter = {};
    const double tokens = static_cast<double>(engine.tokens_generated()), rows = static_cast<double>(engine.rows_run());
    const double start = CpuTime();
    for (GenerateRequest& turn : turns) {
      TANDEM_CHECK(
          engine.Submit(std::move(turn), {}, [this](GenerateResult result) { last = std::move(result); }).ok());
    }
    while (engine.Step() > 0) {
    }
    return {CpuTime() - start, static_cast<double>(engine.tokens_generated()) - tokens,
            static_cast<double>(engine.rows_run()) - rows, meter};
  }
  MeteredDecoder::Meter meter;
  Engine engine;
  GenerateResult last;
};

// Sequences of one length that start together: what plain ATen is good at.
std::vector<GenerateRequest> EqualTurns(int64_t count, int32_t length, uint64_t seed) {
  std::vector<GenerateRequest> turns(count);
  for (int64_t n = 0; n < count; ++n) {
    turns[n].prompt = {static_cast<int32_t>(n % 24)};
    turns[n].max_new_tokens = length - 1;
    turns[n].random_key = MixKey(seed, n);
  }
  return turns;
}

// Short turns in groups of 16 that ask the same: prompts of 4 to 12 tokens, outputs of 2 to 20.
std::vector<GenerateRequest> ShortTurns(int64_t count, uint64_t seed) {
  std::vector<GenerateRequest> turns(count);
  for (int64_t n = 0; n < count; ++n) {
    RandomStream group(MixKey(seed, n / 16)), own(MixKey(seed + 1, n));
    for (uint64_t i = 4 + group.Below(9); i > 0; --i) turns[n].prompt.push_back(static_cast<int32_t>(group.Below(24)));
    turns[n].max_new_tokens = static_cast<int32_t>(2 + own.Below(19));
    turns[n].random_key = own.Next();
  }
  return turns;
}

// The engine and ATen must agree on what the model says, or the comparison is worth nothing.
void CheckAgreement(Bench& bench, PlainAtenDecoding& plain) {
  bench.Run(EqualTurns(1, 48, 3));
  std::vector<int32_t> tokens = {0};
  tokens.insert(tokens.end(), bench.last.output.begin(), bench.last.output.end());
  const std::vector<float> scores = plain.Score(tokens);
  double largest = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    largest = std::max(largest, static_cast<double>(std::abs(scores[i] - bench.last.model_logprobs[i])));
  }
  std::printf("  log-probabilities differ from ATen's by at most %.1e\n", largest);
  TANDEM_CHECK(largest < 1e-3);
}

void Report(const char* what, const std::vector<Measured>& rounds, double peak) {
  std::vector<double> tokens, share, rows, outside;
  for (const Measured& m : rounds) {
    tokens.push_back(m.tokens / m.seconds);
    rows.push_back(m.rows / m.tokens);
    share.push_back(m.decoder.flops / m.seconds / peak);
    outside.push_back(1 - m.decoder.seconds / m.seconds);
  }
  std::printf("  %-34s %9.0f tokens/s, %4.1f %% of the limit, %.2f rows a token, %.1f %% outside of the decoder\n",
              what, Median(tokens), 100 * Median(share), Median(rows), 100 * Median(outside));
}

void Compare(const ModelConfig& config, int64_t sequences) {
  constexpr int32_t kLength = 48;
  const std::vector<float> weights = RandomWeights(config, 1);
  std::printf("hidden %d, %d layers, %d heads, intermediate %d, vocabulary %d; %d sequences of %d tokens\n",
              static_cast<int>(config.hidden), static_cast<int>(config.layers), static_cast<int>(config.heads),
              static_cast<int>(config.intermediate), static_cast<int>(config.vocabulary), static_cast<int>(sequences),
              kLength);
  const double peak = PeakFlops(0.3);
  std::printf("  limit: %.1f GFLOP/s\n", peak / 1e9);
  PlainAtenDecoding plain(config, weights, sequences);
  Bench together(config, weights, sequences, sequences), few(config, weights, 4 * 48, 48);
  CheckAgreement(together, plain);
  std::vector<int32_t> first(sequences, 1);
  std::vector<double> aten;
  std::vector<Measured> equal, equal_few, short_turns;
  for (int round = 0; round < kRounds; ++round) {
    const double start = CpuTime();
    const auto tokens = static_cast<double>(plain.Generate(first, kLength));
    aten.push_back(tokens / (CpuTime() - start));
    equal.push_back(together.Run(EqualTurns(sequences, kLength, round)));
    equal_few.push_back(few.Run(EqualTurns(sequences, kLength, round)));
    short_turns.push_back(few.Run(ShortTurns(512, 100 + round)));
  }
  std::printf("  %-34s %9.0f tokens/s\n", "plain ATen", Median(aten));
  Report("engine, all at once", equal, peak);
  Report("engine, 48 at once", equal_few, peak);
  Report("engine, 512 short turns, 48 at once", short_turns, peak);
  const double start = CpuTime();
  for (uint32_t n = 1; n <= 20; ++n) TANDEM_CHECK(few.engine.Install({1, n}, weights).ok());
  std::printf("  installing a version: %.2f ms\n", (CpuTime() - start) / 20 * 1e3);
}

void Main() {
  PinThread();
  at::set_num_threads(1);
  std::printf("one thread, medians of %d rounds, per second of CPU time; instruction set %s\n", kRounds,
              kernels::InstructionSet().c_str());
  ModelConfig larger{.vocabulary = 24, .hidden = 128, .layers = 3, .heads = 4, .kv_heads = 4, .intermediate = 384};
  Compare(larger, 32);
  ModelConfig smaller{.vocabulary = 24, .hidden = 64, .layers = 2, .heads = 4, .kv_heads = 4, .intermediate = 192};
  Compare(smaller, 256);
}

}  // namespace
}  // namespace tandem

int main() {
  tandem::KeepFreedMemory();
  tandem::Main();
  return 0;
}
