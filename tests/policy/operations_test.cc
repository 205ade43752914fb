// The fused float32 operations against the composite ones in double, which a GPU takes too.
#include "policy/operations.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/policy/random_sequences.h"

namespace tandem::operations {
namespace {

using Tensors = std::vector<at::Tensor>;

at::Tensor Random(uint64_t seed, std::vector<int64_t> shape) {
  RandomStream random(seed);
  at::Tensor x = at::empty(shape, at::kFloat);
  for (int64_t i = 0; i < x.numel(); ++i) x.mutable_data_ptr<float>()[i] = static_cast<float>(4 * random.Uniform() - 2);
  return x;
}

double Difference(const at::Tensor& a, const at::Tensor& b) {
  return a.numel() == 0 ? 0 : (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

Weight Prepared(const at::Tensor& weight, at::ScalarType type) {
  Weight prepared;
  Prepare(weight, /*bias=*/{}, type, &prepared);
  return prepared;
}

// Outputs, then gradients of a fixed weighting of them with respect to `inputs`, in `type`.
Tensors RunIn(at::ScalarType type, const Tensors& inputs, const std::function<Tensors(const Tensors&)>& function) {
  Tensors leaves;
  for (const at::Tensor& input : inputs) leaves.push_back(input.to(type).clone().requires_grad_(true));
  Tensors results = function(leaves);
  at::Tensor loss;
  for (size_t i = 0; i < results.size(); ++i) {
    if (!results[i].requires_grad()) continue;
    const at::Tensor part = (results[i] * Random(77 + i, results[i].sizes().vec()).to(type)).sum();
    loss = loss.defined() ? loss + part : part;
  }
  loss.backward();
  for (const at::Tensor& leaf : leaves) results.push_back(leaf.grad());
  return results;
}

void ExpectFusedEqualsComposite(const Tensors& inputs, const std::function<Tensors(const Tensors&)>& function,
                                const std::string& what) {
  const Tensors fused = RunIn(at::kFloat, inputs, function), composite = RunIn(at::kDouble, inputs, function);
  ASSERT_EQ(fused.size(), composite.size());
  for (size_t i = 0; i < fused.size(); ++i) {
    ASSERT_EQ(fused[i].scalar_type(), at::kFloat);
    ASSERT_EQ(composite[i].scalar_type(), at::kDouble) << "this compares nothing";
    const double scale = 1 + composite[i].abs().max().item<double>();
    EXPECT_LT(Difference(fused[i], composite[i]), 1e-5 * scale) << what << ", result " << i;
  }
}

TEST(OperationsTest, RmsNorm) {
  for (const int64_t hidden : {1, 7, 16, 50, 64}) {
    for (const int64_t rows : {1, 3, 600}) {  // 600: more than one block of the weight's gradient
      ExpectFusedEqualsComposite(
          {Random(1, {rows, hidden}), Random(2, {hidden})},
          [](const Tensors& x) -> Tensors { return {RmsNorm(x[0], x[1], 1e-5, x[0].scalar_type())}; },
          "hidden " + std::to_string(hidden) + " rows " + std::to_string(rows));
    }
  }
}

TEST(OperationsTest, AddRmsNorm) {
  for (const int64_t hidden : {5, 64, 100}) {
    ExpectFusedEqualsComposite(
        {Random(3, {300, hidden}), Random(4, {300, hidden}), Random(5, {hidden})},
        [](const Tensors& x) -> Tensors {
          const auto [sum, norm] = AddRmsNorm(x[0], x[1], x[2], 1e-5, x[0].scalar_type());
          return {sum, norm};
        },
        "hidden " + std::to_string(hidden));
  }
}

TEST(OperationsTest, AddRmsNormWhoseSumAloneIsUsed) {
  ExpectFusedEqualsComposite(
      {Random(3, {9, 8}), Random(4, {9, 8})},
      [](const Tensors& x) -> Tensors {
        const at::Tensor weight = at::ones({8}, x[0].options());
        return {AddRmsNorm(x[0], x[1], weight, 1e-5, x[0].scalar_type()).first};
      },
      "sum alone");
}

TEST(OperationsTest, SwiGluAlsoFarFromZero) {
  for (const int64_t width : {1, 9, 64}) {
    at::Tensor x = Random(6, {20, 2 * width});
    x.narrow(0, 0, 5).mul_(60);  // gates up to +-120: exp must neither overflow nor be undefined
    ExpectFusedEqualsComposite(
        {x}, [](const Tensors& t) -> Tensors { return {SwiGlu(t[0])}; }, "width " + std::to_string(width));
  }
}

TEST(OperationsTest, HeadLogProbsInOneBlockAndInSeveral) {
  for (const int64_t vocabulary : {1, 2, 24, 33, 130}) {
    const at::Tensor targets = at::arange(50, at::kLong).remainder(vocabulary);
    at::Tensor y = Random(8, {50, 12});
    y.narrow(0, 0, 10).mul_(20);
    for (const int64_t block : {0, 50, 7, 1}) {
      ExpectFusedEqualsComposite(
          {y, Random(12, {vocabulary, 12})},
          [&](const Tensors& x) -> Tensors {
            const TokenScores scores = HeadLogProbs(x[0], Prepared(x[1], x[1].scalar_type()), targets, block);
            return {scores.logprobs, scores.entropy};
          },
          "vocabulary " + std::to_string(vocabulary) + ", blocks of " + std::to_string(block));
    }
  }
}

// The definition, in double: the composite version of the test above computes blocks as well.
TEST(OperationsTest, HeadLogProbsAreThoseOfALogSoftmax) {
  const at::Tensor targets = at::arange(20, at::kLong).remainder(9);
  const at::Tensor y = Random(13, {20, 6}).to(at::kDouble).requires_grad_(true);
  const at::Tensor weight = Random(14, {9, 6}).to(at::kDouble).requires_grad_(true);
  const TokenScores scores = HeadLogProbs(y, Prepared(weight, at::kDouble), targets, 6);
  const at::Tensor y2 = y.detach().clone().requires_grad_(true), weight2 = weight.detach().clone().requires_grad_(true);
  const at::Tensor all = at::log_softmax(at::linear(y2, weight2), -1);
  const at::Tensor wanted = all.gather(1, targets.unsqueeze(1)).squeeze(1);
  EXPECT_TRUE(at::allclose(scores.logprobs, wanted));
  EXPECT_TRUE(at::allclose(scores.entropy, -(all.exp() * all).sum(-1)));
  const at::Tensor weights = at::linspace(-1, 2, 20, at::kDouble);
  (scores.logprobs * weights).sum().backward();
  (wanted * weights).sum().backward();
  EXPECT_TRUE(at::allclose(y.grad(), y2.grad()));
  EXPECT_TRUE(at::allclose(weight.grad(), weight2.grad()));
}

TEST(OperationsTest, TakeRowsAddsUpTheGradientsOfARowTakenTwice) {
  const at::Tensor index = at::tensor({3, 0, 3, 3, 1}, at::kLong);
  ExpectFusedEqualsComposite(
      {Random(9, {5, 6})}, [&](const Tensors& x) -> Tensors { return {TakeRows(x[0], index)}; }, "rows");
}

TEST(OperationsTest, Linear) {
  for (const auto& [rows, in, out] : {std::array<int64_t, 3>{1, 1, 1}, {5, 7, 33}, {300, 64, 24}, {129, 50, 100}}) {
    ExpectFusedEqualsComposite(
        {Random(10, {rows, in}), Random(11, {out, in})},
        [](const Tensors& x) -> Tensors { return {operations::Linear(x[0], Prepared(x[1], x[1].scalar_type()))}; },
        std::to_string(rows) + " x " + std::to_string(in) + " x " + std::to_string(out));
  }
}

TEST(OperationsTest, AttentionOfRaggedSequences) {
  struct Case {
    int64_t heads, kv_heads, size;
    std::vector<int32_t> lengths;
  };
  const std::vector<Case> cases = {{1, 1, 2, {1}},
                                   {4, 4, 16, {22, 6, 1, 64, 17, 16}},
                                   {4, 2, 32, {48, 33, 5, 2}},
                                   {6, 1, 10, {3, 4, 5, 31, 32, 33}},
                                   {2, 2, 128, {40, 15}}};
  for (const Case& c : cases) {
    const ModelConfig config = {.vocabulary = 5,
                                .hidden = c.heads * c.size,
                                .layers = 1,
                                .heads = c.heads,
                                .kv_heads = c.kv_heads,
                                .intermediate = 8,
                                .context = 64};
    PackedSequences s;
    s.lengths = c.lengths;
    for (const int32_t length : c.lengths) s.ids.resize(s.ids.size() + length, 1);
    for (size_t i = 0, end = 0; i < c.lengths.size(); ++i) {
      end += c.lengths[i];
      if (c.lengths[i] > 1) s.targets.push_back(static_cast<int32_t>(end) - 1);
    }
    if (s.targets.empty()) s.lengths = {2}, s.ids = {1, 1}, s.targets = {1};
    const PackedLayout layout = LayOut(s, config, 0, /*padded=*/true, at::kCPU);
    const Rotary rotary = MakeRotary(config, config.context, at::kCPU);
    const int64_t tokens = static_cast<int64_t>(s.ids.size()), width = (c.heads + 2 * c.kv_heads) * c.size;
    ExpectFusedEqualsComposite(
        {Random(12, {tokens, width})},
        [&](const Tensors& x) -> Tensors { return {Attention(x[0], config, rotary, layout.chunks[0])}; },
        std::to_string(c.heads) + " heads of " + std::to_string(c.size));
  }
}

TEST(LayOutTest, ChunksHoldWholeSequencesAndTheirTargets) {
  const ModelConfig config = {.vocabulary = 9};
  const PackedSequences s = {.ids = {1, 2, 3, 4, 5, 6, 7, 8}, .lengths = {3, 1, 4}, .targets = {7, 1, 5}};
  const PackedLayout layout = LayOut(s, config, 4, /*padded=*/true, at::kCPU);
  ASSERT_EQ(layout.chunks.size(), 2u);
  EXPECT_TRUE(at::equal(layout.chunks[0].ids, at::tensor({1, 2, 3, 4}, at::kLong)));
  EXPECT_TRUE(at::equal(layout.chunks[0].rows, at::tensor({0}, at::kLong)));
  EXPECT_TRUE(at::equal(layout.chunks[0].pad, at::tensor({0, 1, 2, 3, 0, 0}, at::kLong)));
  EXPECT_TRUE(at::equal(layout.chunks[0].unpad, at::tensor({0, 1, 2, 3}, at::kLong)));
  EXPECT_TRUE(at::equal(layout.chunks[1].rows, at::tensor({0, 2}, at::kLong)));
  EXPECT_TRUE(at::equal(layout.chunks[1].target_ids, at::tensor({6, 8}, at::kLong)));
  EXPECT_TRUE(at::equal(layout.order, at::tensor({2, 0, 1}, at::kLong)));
}

}  // namespace
}  // namespace tandem::operations
