// Linear layers of a training pass: kernels/linear.h's register tiles forward and for the gradient of the input, the
// library's matrix product for the gradient of the weight.
#include "kernels/linear.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

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

at::Tensor PackedWeight(const at::Tensor& weight) {
  const int64_t out = weight.size(0), in = weight.size(1);
  at::Tensor packed = at::empty({kernels::PackedSize(out, in)}, weight.options());
  kernels::PackLinear(weight.const_data_ptr<float>(), out, in, packed.mutable_data_ptr<float>());
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

Weight Prepare(const at::Tensor& weight, const at::Tensor& bias, at::ScalarType type) {
  if (!Fused(weight) || type != at::kFloat) return {weight.to(type), {}, {}, bias.defined() ? bias.to(type) : bias};
  const bool backward = weight.requires_grad() && at::GradMode::is_enabled();
  const at::NoGradGuard no_grad;
  return {weight, PackedWeight(weight.detach()),
          backward ? PackedWeight(weight.detach().t().contiguous()) : at::Tensor(), bias};
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
