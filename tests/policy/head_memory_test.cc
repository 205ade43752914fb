// A pass over a long sequence with a large vocabulary: [tokens, vocabulary] is never held, not even backward.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "tests/policy/random_sequences.h"

namespace tandem {
namespace {

// Forgets the largest size that the process had, and keeps track of it from here.
class PeakMemory {
 public:
  PeakMemory() {
    std::ofstream("/proc/self/clear_refs") << "5";
    before_ = Megabytes();
  }
  double grown() const { return Megabytes() - before_; }

 private:
  static double Megabytes() {
    std::ifstream file("/proc/self/status");
    for (std::string word; file >> word;) {
      if (word != "VmHWM:") continue;
      double kilobytes = 0;
      file >> kilobytes;
      return kilobytes / 1024;
    }
    ADD_FAILURE() << "/proc/self/status has no VmHWM";
    return 0;
  }
  double before_;
};

TEST(HeadMemoryTest, NoPassHoldsTheVocabularyForAllTokens) {
  const ModelConfig config = {
      .vocabulary = 100'000, .hidden = 8, .layers = 1, .heads = 2, .kv_heads = 2, .intermediate = 16, .context = 4096};
  const auto model = *Model::Create(config, "cpu", /*bf16=*/false);
  model->flat().copy_(RandomWeights(config, 1, 0.1));
  const PackedSequences sequences = RandomSequences(2, /*count=*/1, 2048, 2048, /*prompt=*/1, config.vocabulary);
  const double whole = 2047.0 * 100'000 * sizeof(float) / (1 << 20);  // 781 MB
  {
    const at::NoGradGuard no_grad;
    const PeakMemory peak;
    model->Score(sequences);
    EXPECT_LT(peak.grown(), whole / 5);
  }
  const PeakMemory peak;
  model->Score(sequences).logprobs.sum().backward();
  EXPECT_LT(peak.grown(), whole / 5);
}

}  // namespace
}  // namespace tandem
