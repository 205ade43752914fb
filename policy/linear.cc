// Linear layers of a training pass: kernels/linear.h's register tiles forward and for the gradient of the input, the
// library's matrix product for the gradient of the weight.
#include "kernels/linear.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "policy/operations.h"
#include "policy/packed_linear.h"

namespace tandem::operations {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

constexpr int64_t kGrain = 128;  // rows that are worth a thread of their own

struct LinearFunction : Function<LinearFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& packed, const at::Tensor& packed_backward,
                            const std::optional<at::Tensor>& bias) {
    ctx->save_for_backward({x, packed_backward});
    ctx->saved_data["bias"] = bias.has_value();
    at::Tensor y = PackedProduct(x, packed, weight.size(0));
    return bias ? y.add_(*bias) : y;
  }
  static tensor_list backward(AutogradContext* ctx, tensor_list grads) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], dy = grads[0].contiguous();
    return {PackedProduct(dy, saved[1], x.size(1)), at::mm(dy.t(), x), at::Tensor(), at::Tensor(),
            ctx->saved_data["bias"].toBool() ? dy.sum(0) : at::Tensor()};
  }
};

}  // namespace

at::Tensor PackedWeight(const at::Tensor& weight, const at::Tensor& again) {
  const int64_t out = weight.size(0), in = weight.size(1), size = kernels::PackedSize(out, in);
  at::Tensor packed = again.defined() && again.numel() == size ? again : at::empty({size}, weight.options());
  const float* from = weight.const_data_ptr<float>();
  float* to = packed.mutable_data_ptr<float>();
  constexpr int64_t kColumns = kernels::kPanelColumns;
  at::parallel_for(0, (out + kColumns - 1) / kColumns, kGrain / 4, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kColumns, last = std::min(end * kColumns, out);
    kernels::PackLinear(from + first * in, last - first, in, to + first * in);
  });
  return packed;
}

at::Tensor PackedProduct(const at::Tensor& x, const at::Tensor& packed, int64_t out) {
  const int64_t in = x.size(1);
  at::Tensor y = at::empty({x.size(0), out}, x.options());
  const float* from = x.const_data_ptr<float>();
  float* to = y.mutable_data_ptr<float>();
  const float* weight = packed.const_data_ptr<float>();
  at::parallel_for(0, x.size(0), kGrain, [&](int64_t begin, int64_t end) {
    kernels::Linear(from + begin * in, end - begin, weight, in, out, to + begin * out);
  });
  return y;
}

void Prepare(const at::Tensor& weight, const at::Tensor& bias, at::ScalarType type, Weight* into) {
  if (!Fused(weight) || type != at::kFloat) {
    *into = {weight.to(type), {}, {}, bias.defined() ? bias.to(type) : bias};
    return;
  }
  const bool graph = at::GradMode::is_enabled();  // which keeps what it is given
  const bool backward = weight.requires_grad() && graph;
  const at::NoGradGuard no_grad;
  const at::Tensor values = weight.detach();
  *into = {weight, PackedWeight(values, graph ? at::Tensor() : into->forward),
           backward ? PackedWeight(values.t().contiguous()) : at::Tensor(), bias};
}

at::Tensor Linear(const at::Tensor& x, const Weight& weight) {
  const auto bias = weight.bias.defined() ? std::optional(weight.bias) : std::nullopt;
  if (!weight.forward.defined()) return at::linear(x, weight.weight, bias);
  if (weight.backward.defined()) {
    return LinearFunction::apply(x.contiguous(), weight.weight, weight.forward, weight.backward, bias);
  }
  at::Tensor y = PackedProduct(x.contiguous(), weight.forward, weight.weight.size(0));
  return bias ? y.add_(*bias) : y;
}

}  // namespace tandem::operations
