// Training speed of policy/ against plain ATen on the same data: forward and backward of a supervised loss, in turn in
// one process, on one pinned thread. Prints the median of the rounds.
//   training [rounds [part of a case's name]]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

#include "base/status.h"
#include "launch/allocator.h"
#include "policy/model.h"
#include "tests/bench/cpu_time.h"
#include "tests/policy/plain_transformer.h"
#include "tests/policy/random_sequences.h"

namespace tandem {
namespace {

struct Case {
  const char* name;
  int64_t hidden, layers, intermediate;
  int64_t sequences, shortest, longest, prompt;
};

constexpr Case kCases[] = {
    {"d 128, 3 layers, 32 x 48", 128, 3, 384, 32, 48, 48, 1},
    {"d 128, 3 layers, 512 x 48", 128, 3, 384, 512, 48, 48, 1},
    {"d 64, 2 layers, 32 x 48", 64, 2, 192, 32, 48, 48, 1},
    {"d 64, 2 layers, 512 x 48", 64, 2, 192, 512, 48, 48, 1},
    {"d 64, 2 layers, 512 x 18..26 (planner)", 64, 2, 192, 512, 18, 26, 8},
    {"d 64, 2 layers, 1280 x 6 (executor)", 64, 2, 192, 1280, 6, 6, 4},
};

void Pin() {
  PinThread();
  at::set_num_threads(1);
}

double Seconds(const std::function<void()>& pass, int repeats) {
  const double start = CpuTime();
  for (int i = 0; i < repeats; ++i) pass();
  return (CpuTime() - start) / repeats;
}

void RunCase(const Case& c, int rounds) {
  const ModelConfig config = {.vocabulary = 24,
                              .hidden = c.hidden,
                              .layers = c.layers,
                              .heads = 4,
                              .kv_heads = 4,
                              .intermediate = c.intermediate,
                              .context = 64};
  auto created = Model::Create(config, "cpu", false);
  TANDEM_CHECK(created.ok());
  Model& model = **created;
  model.Initialise(1, 0.2);
  PlainTransformer plain(config, model.flat());
  const PackedSequences sequences = RandomSequences(2, c.sequences, c.shortest, c.longest, c.prompt, config.vocabulary);
  const auto batch = PlainTransformer::Pad(sequences);
  const auto ours = [&] {
    model.grad().zero_();
    (-model.Score(sequences).logprobs.mean()).backward();
  };
  const auto theirs = [&] {
    plain.ZeroGrad();
    (-plain.LogProbs(batch).mean()).backward();
  };
  const auto score = [&] {
    const at::NoGradGuard no_grad;
    model.Score(sequences);
  };
  ours(), theirs(), score();
  const double tokens = static_cast<double>(sequences.ids.size());
  const int repeats = std::max(1, static_cast<int>(0.3 / Seconds(ours, 1)));
  std::vector<double> our_times, their_times, score_times, ratios;
  for (int round = 0; round < rounds; ++round) {
    their_times.push_back(Seconds(theirs, repeats));
    our_times.push_back(Seconds(ours, repeats));
    score_times.push_back(Seconds(score, repeats));
    ratios.push_back(their_times.back() / our_times.back());
  }
  std::printf("%-40s %10.0f %10.0f %7.2f %12.0f\n", c.name, tokens / Median(their_times), tokens / Median(our_times),
              Median(ratios), tokens / Median(score_times));
  std::fflush(stdout);
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  tandem::KeepFreedMemory();
  tandem::Pin();
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 5;
  std::printf("%-40s %10s %10s %7s %12s\n", "tokens/s (one thread)", "plain ATen", "Tandem", "ratio", "no gradient");
  for (const tandem::Case& c : tandem::kCases) {
    if (argc < 3 || std::strstr(c.name, argv[2]) != nullptr) tandem::RunCase(c, rounds);
  }
  return 0;
}
