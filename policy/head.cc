// From the last layer's output to log-probabilities, block by block of rows.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "policy/cpu_kernels.h"
#include "policy/operations.h"
#include "policy/packed_linear.h"

namespace tandem::operations {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

// A block's logits take 16 MB, unless that would be so few rows that the weight is read too often.
int64_t BlockRows(int64_t vocabulary) { return std::max<int64_t>(128, (int64_t{4} << 20) / vocabulary); }

at::ScalarType SoftmaxType(const at::Tensor& y) { return at::promote_types(y.scalar_type(), at::kFloat); }

// [rows, vocabulary], in float32 at least.
at::Tensor Logits(const at::Tensor& y, const at::Tensor& weight, const at::Tensor& packed) {
  if (packed.defined()) return PackedProduct(y, packed, weight.size(0));
  return at::linear(y, weight).to(SoftmaxType(y));
}

// What is kept of a block: [rows] each.
struct BlockScores {
  at::Tensor logprobs, entropy, lse;
};

BlockScores Score(const at::Tensor& logits, const at::Tensor& targets) {
  if (!Fused(logits)) {
    const at::Tensor lse = at::logsumexp(logits, 1), probabilities = (logits - lse.unsqueeze(1)).exp();
    return {logits.gather(1, targets.unsqueeze(1)).squeeze(1) - lse, lse - (probabilities * logits).sum(1), lse};
  }
  const at::Tensor out = at::empty({3, logits.size(0)}, logits.options());
  BlockScores scores = {out[0], out[1], out[2]};
  const int64_t vocabulary = logits.size(1);
  at::parallel_for(0, logits.size(0), 64, [&](int64_t begin, int64_t end) {
    cpu::LogProbs(logits.const_data_ptr<float>() + begin * vocabulary, targets.const_data_ptr<int64_t>() + begin,
                  end - begin, vocabulary, scores.logprobs.mutable_data_ptr<float>() + begin,
                  scores.entropy.mutable_data_ptr<float>() + begin, scores.lse.mutable_data_ptr<float>() + begin);
  });
  return scores;
}

// dlogprobs * (onehot(target) - softmax(logits)), in place of the logits where that is possible.
at::Tensor LogitsGradient(const at::Tensor& dlogprobs, at::Tensor logits, const at::Tensor& lse,
                          const at::Tensor& targets) {
  if (!Fused(logits)) {
    at::Tensor gradient = logits.sub_(lse.unsqueeze(1)).exp_().neg_();
    gradient.scatter_add_(1, targets.unsqueeze(1), at::ones_like(dlogprobs).unsqueeze(1));
    return gradient.mul_(dlogprobs.unsqueeze(1));
  }
  at::Tensor gradient = at::empty_like(logits);
  const int64_t vocabulary = logits.size(1);
  at::parallel_for(0, logits.size(0), 64, [&](int64_t begin, int64_t end) {
    cpu::LogProbsBackward(dlogprobs.const_data_ptr<float>() + begin,
                          logits.const_data_ptr<float>() + begin * vocabulary, lse.const_data_ptr<float>() + begin,
                          targets.const_data_ptr<int64_t>() + begin, end - begin, vocabulary,
                          gradient.mutable_data_ptr<float>() + begin * vocabulary);
  });
  return gradient;
}

struct HeadFunction : Function<HeadFunction> {
  static tensor_list forward(AutogradContext* ctx, const at::Tensor& y, const at::Tensor& weight,
                             const std::optional<at::Tensor>& packed, const std::optional<at::Tensor>& packed_backward,
                             const at::Tensor& targets, int64_t block) {
    const int64_t rows = y.size(0);
    const at::Tensor out = at::empty({3, rows}, y.options().dtype(SoftmaxType(y)));
    for (int64_t first = 0; first < rows; first += block) {
      const int64_t count = std::min(block, rows - first);
      const BlockScores scores = Score(Logits(y.narrow(0, first, count), weight, packed.value_or(at::Tensor())),
                                       targets.narrow(0, first, count));
      out.narrow(1, first, count).copy_(at::stack({scores.logprobs, scores.entropy, scores.lse}));
    }
    at::Tensor logprobs = out[0].clone(), entropy = out[1].clone();
    ctx->save_for_backward(
        {y, weight, packed.value_or(at::Tensor()), packed_backward.value_or(at::Tensor()), targets, out[2].clone()});
    ctx->saved_data["block"] = block;
    ctx->mark_non_differentiable({entropy});
    return {logprobs, entropy};
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list grads) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &y = saved[0], &weight = saved[1], &targets = saved[4], &lse = saved[5];
    const at::Tensor dlogprobs = grads[0].contiguous();
    const int64_t rows = y.size(0), block = ctx->saved_data["block"].toInt();
    at::Tensor dy = at::empty_like(y), dweight;
    for (int64_t first = 0; first < rows; first += block) {
      const int64_t count = std::min(block, rows - first);
      const auto part = [&](const at::Tensor& x) { return x.narrow(0, first, count); };
      const at::Tensor gradient =
          LogitsGradient(part(dlogprobs), Logits(part(y), weight, saved[2]), part(lse), part(targets))
              .to(y.scalar_type());
      part(dy).copy_(saved[3].defined() ? PackedProduct(gradient, saved[3], y.size(1)) : at::mm(gradient, weight));
      if (dweight.defined()) {
        dweight.addmm_(gradient.t(), part(y));
      } else {
        dweight = at::mm(gradient.t(), part(y));
      }
    }
    return {dy, dweight, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

TokenScores HeadLogProbs(const at::Tensor& y, const Weight& head, const at::Tensor& targets, int64_t block_rows) {
  const auto given = [](const at::Tensor& x) { return x.defined() ? std::optional(x) : std::nullopt; };
  const auto out = HeadFunction::apply(y.contiguous(), head.weight, given(head.forward), given(head.backward), targets,
                                       block_rows > 0 ? block_rows : BlockRows(head.weight.size(0)));
  return {out[0], out[1]};
}

}  // namespace tandem::operations
