#include "kernels/linear_logprob.h"

#include "tests/kernels/device_test.h"

namespace tandem::kernels {
namespace {

class LinearLogProbTest : public EveryDevice {
 protected:
  std::vector<float> Run(const std::vector<float>& x, int64_t size, const std::vector<float>& weight,
                         const std::vector<int32_t>& targets) {
    const int64_t rows = static_cast<int64_t>(targets.size()), vocabulary = static_cast<int64_t>(weight.size()) / size;
    return WithType([&]<class T>(T) {
      DeviceArray<T> in(As<T>(x)), w(As<T>(weight));
      DeviceArray<int32_t> t(targets);
      DeviceArray<float> scratch(std::vector<float>(cuda::LinearLogProbScratch(rows, vocabulary))),
          out(std::vector<float>(rows, 0.5f));
      ExpectOk(cuda::LinearLogProb(in.data(), rows, size, w.data(), vocabulary, t.data(), scratch.data(), out.data(),
                                   nullptr));
      return out.Fetch();
    });
  }
};
TANDEM_ON_CUDA_TYPES(LinearLogProbTest);

struct Sizes {
  int64_t rows, size, vocabulary;
};

// Rows, inner sizes and vocabularies below, at and above the tiles; inner sizes that tensor cores do not take.
TEST_P(LinearLogProbTest, AgreesWithAten) {
  for (const Sizes s : {Sizes{1, 8, 1},
                        {3, 7, 24},
                        {5, 24, 130},
                        {65, 33, 65},
                        {128, 64, 128},
                        {130, 40, 300},
                        {4, 16, 4097},
                        {2, 32, 9000}}) {
    SCOPED_TRACE(testing::Message() << s.rows << " rows of " << s.size << ", vocabulary " << s.vocabulary);
    const float spread = 3 / std::sqrt(static_cast<float>(s.size));
    const std::vector<float> x = Stored(RandomFloats(s.rows * s.size, 1));
    const std::vector<float> weight = Stored(RandomFloats(s.vocabulary * s.size, 2, spread));
    std::vector<int32_t> targets;
    for (int64_t r = 0; r < s.rows; ++r)
      targets.push_back(static_cast<int32_t>((r * 7919 + s.vocabulary - 1) % s.vocabulary));
    const at::Tensor logits = at::matmul(Double(x, {s.rows, s.size}), Double(weight, {s.vocabulary, s.size}).t());
    const at::Tensor index = at::tensor(targets).to(at::kLong).unsqueeze(1);
    ExpectClose(Run(x, s.size, weight, targets), at::log_softmax(logits, 1).gather(1, index), 2e-5, 2e-6);
  }
}

TEST_P(LinearLogProbTest, LargeLogitsDoNotOverflow) {
  const std::vector<float> x = {200, 0, 0, 0, 0, 0, 0, 0}, weight = {1, 0, 0, 0, 0, 0, 0, 0, -1, 0, 0, 0, 0, 0, 0, 0};
  const std::vector<float> first = Run(x, 8, weight, {0}), second = Run(x, 8, weight, {1});
  EXPECT_EQ(first[0], 0);
  EXPECT_EQ(second[0], -400);
}

TEST_P(LinearLogProbTest, RowsDoNotDependOnTheirBatch) {
  const int64_t rows = 140, size = 40, vocabulary = 200;
  const std::vector<float> x = RandomFloats(rows * size, 1), weight = RandomFloats(vocabulary * size, 2);
  const std::vector<int32_t> targets(rows, 5);
  const std::vector<float> all = Run(x, size, weight, targets);
  for (const int64_t row : {0, 1, 77, 128, 139}) {
    const std::vector<float> one(x.begin() + row * size, x.begin() + (row + 1) * size);
    EXPECT_EQ(Run(one, size, weight, {5})[0], all[row]) << row;
  }
}

}  // namespace
}  // namespace tandem::kernels
