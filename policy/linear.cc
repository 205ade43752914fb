// Linear layers of a training pass: kernels/linear.h's register tiles forward and for the gradient of the input, the
// library's matrix product for the gradient of the weight.
#include "kernels/linear.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "policy/operations.h"

namespace tandem::operations {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

constexpr int64_t kGrain = 128;  // rows that are worth a thread of their own

at::Tensor Pack(const at::Tensor& weight) {
  const int64_t out = weight.size(0), in = weight.size(1);
  at::Tensor packed = at::empty({kernels::PackedSize(out, in)}, weight.options());
  kernels::PackLinear(weight.const_data_ptr<float>(), out, in, packed.mutable_data_ptr<float>());
  return packed;
}

// x [rows, in] times the packed weight -> [rows, out].
at::Tensor Product(const at::Tensor& x, const at::Tensor& packed, int64_t out) {
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

struct LinearFunction : Function<LinearFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& packed, const at::Tensor& packed_backward) {
    ctx->save_for_backward({x, packed_backward});
    return Product(x, packed, weight.size(0));
  }
  static tensor_list backward(AutogradContext* ctx, tensor_list grads) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], dy = grads[0].contiguous();
    return {Product(dy, saved[1], x.size(1)), at::mm(dy.t(), x), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

Weight Prepare(const at::Tensor& weight, at::ScalarType type) {
  if (!Fused(weight) || type != at::kFloat) return {weight.to(type), {}, {}};
  const bool backward = weight.requires_grad() && at::GradMode::is_enabled();
  const at::NoGradGuard no_grad;
  return {weight, Pack(weight.detach()), backward ? Pack(weight.detach().t().contiguous()) : at::Tensor()};
}

at::Tensor Linear(const at::Tensor& x, const Weight& weight) {
  if (!weight.forward.defined()) return at::linear(x, weight.weight);
  if (!weight.backward.defined()) return Product(x.contiguous(), weight.forward, weight.weight.size(0));
  return LinearFunction::apply(x.contiguous(), weight.weight, weight.forward, weight.backward);
}

}  // namespace tandem::operations
