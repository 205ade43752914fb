// Row-wise operations. The composite versions are the definitions; the fused ones compute the same.
#include "policy/operations.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "policy/cpu_kernels.h"

namespace tandem::operations {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

constexpr int64_t kRowsPerThread = 256;  // rows that are worth a thread of their own

// Row `row` of a contiguous float32 matrix.
float* Row(const at::Tensor& x, int64_t row) { return x.mutable_data_ptr<float>() + row * x.size(-1); }
const float* Data(const at::Tensor& x) { return x.const_data_ptr<float>(); }

struct TakeRowsFunction : Function<TakeRowsFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& table, const at::Tensor& index) {
    ctx->save_for_backward({index});
    ctx->saved_data["rows"] = table.size(0);
    return table.index_select(0, index);
  }
  static tensor_list backward(AutogradContext* ctx, tensor_list grads) {
    const at::Tensor index = ctx->get_saved_variables()[0], dy = grads[0].contiguous();
    const int64_t rows = ctx->saved_data["rows"].toInt(), width = dy.size(1);
    at::Tensor dtable = at::zeros({rows, width}, dy.options());
    if (!Fused(dy)) return {dtable.index_add_(0, index, dy), at::Tensor()};
    const int64_t* to = index.const_data_ptr<int64_t>();
    for (int64_t i = 0; i < dy.size(0); ++i) {
      float* sum = Row(dtable, to[i]);
      const float* add = Row(dy, i);
      for (int64_t k = 0; k < width; ++k) sum[k] += add[k];
    }
    return {dtable, at::Tensor()};
  }
};

// Sums over blocks of rows are added in the order of the blocks, whatever the number of threads.
at::Tensor NormBackward(const at::Tensor& dy, const at::Tensor& dh, const at::Tensor& h, const at::Tensor& weight,
                        const at::Tensor& rstd, at::Tensor& dweight) {
  const int64_t rows = h.size(0), hidden = h.size(1), blocks = (rows + kRowsPerThread - 1) / kRowsPerThread;
  at::Tensor dx = at::empty_like(h), partial = at::zeros({blocks, hidden}, h.options());
  at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * kRowsPerThread, count = std::min(kRowsPerThread, rows - first);
      cpu::RmsNormBackward(Row(dy, first), dh.defined() ? Row(dh, first) : nullptr, Row(h, first), Data(weight),
                           Data(rstd) + first, count, hidden, Row(dx, first), Row(partial, block));
    }
  });
  dweight = blocks == 1 ? partial[0] : partial.sum(0);
  return dx;
}

struct RmsNormFunction : Function<RmsNormFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight, double epsilon) {
    at::Tensor y = at::empty_like(x), rstd = at::empty({x.size(0)}, x.options());
    at::parallel_for(0, x.size(0), kRowsPerThread, [&](int64_t begin, int64_t end) {
      cpu::AddRmsNorm(Row(x, begin), nullptr, Data(weight), static_cast<float>(epsilon), end - begin, x.size(1),
                      nullptr, Row(y, begin), rstd.mutable_data_ptr<float>() + begin);
    });
    ctx->save_for_backward({x, weight, rstd});
    return y;
  }
  static tensor_list backward(AutogradContext* ctx, tensor_list grads) {
    const auto saved = ctx->get_saved_variables();
    at::Tensor dweight;
    at::Tensor dx = NormBackward(grads[0].contiguous(), at::Tensor(), saved[0], saved[1], saved[2], dweight);
    return {dx, dweight, at::Tensor()};
  }
};

struct AddRmsNormFunction : Function<AddRmsNormFunction> {
  static tensor_list forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& delta,
                             const at::Tensor& weight, double epsilon) {
    at::Tensor h = at::empty_like(x), y = at::empty_like(x), rstd = at::empty({x.size(0)}, x.options());
    at::parallel_for(0, x.size(0), kRowsPerThread, [&](int64_t begin, int64_t end) {
      cpu::AddRmsNorm(Row(x, begin), Row(delta, begin), Data(weight), static_cast<float>(epsilon), end - begin,
                      x.size(1), Row(h, begin), Row(y, begin), rstd.mutable_data_ptr<float>() + begin);
    });
    ctx->save_for_backward({h, weight, rstd});
    ctx->set_materialize_grads(false);
    return {h, y};
  }
  static tensor_list backward(AutogradContext* ctx, tensor_list grads) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor dh = grads[0].defined() ? grads[0].contiguous() : grads[0];
    if (!grads[1].defined()) return {dh, dh, at::Tensor(), at::Tensor()};
    at::Tensor dweight;
    at::Tensor dx = NormBackward(grads[1].contiguous(), dh, saved[0], saved[1], saved[2], dweight);
    return {dx, dx, dweight, at::Tensor()};
  }
};

struct SwiGluFunction : Function<SwiGluFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& gate_up) {
    const int64_t width = gate_up.size(1) / 2;
    at::Tensor y = at::empty({gate_up.size(0), width}, gate_up.options());
    at::parallel_for(0, y.size(0), kRowsPerThread, [&](int64_t begin, int64_t end) {
      cpu::SwiGlu(Row(gate_up, begin), end - begin, width, Row(y, begin));
    });
    ctx->save_for_backward({gate_up});
    return y;
  }
  static tensor_list backward(AutogradContext* ctx, tensor_list grads) {
    const at::Tensor gate_up = ctx->get_saved_variables()[0], dy = grads[0].contiguous();
    at::Tensor dgate_up = at::empty_like(gate_up);
    at::parallel_for(0, dy.size(0), kRowsPerThread, [&](int64_t begin, int64_t end) {
      cpu::SwiGluBackward(Row(dy, begin), Row(gate_up, begin), end - begin, dy.size(1), Row(dgate_up, begin));
    });
    return {dgate_up};
  }
};

// What the norm is computed in: float32, or double in tests.
at::ScalarType NormType(const at::Tensor& x) { return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat; }

}  // namespace

bool Fused(const at::Tensor& x) { return x.is_cpu() && x.scalar_type() == at::kFloat; }

at::Tensor TakeRows(const at::Tensor& table, const at::Tensor& index) { return TakeRowsFunction::apply(table, index); }

at::Tensor RmsNorm(const at::Tensor& x, const at::Tensor& weight, double epsilon, at::ScalarType type) {
  if (Fused(x) && type == at::kFloat) return RmsNormFunction::apply(x.contiguous(), weight, epsilon);
  const at::Tensor h = x.to(NormType(x));
  return (h * at::rsqrt(h.square().mean(-1, /*keepdim=*/true) + epsilon) * weight).to(type);
}

std::pair<at::Tensor, at::Tensor> AddRmsNorm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight,
                                             double epsilon, at::ScalarType type) {
  if (Fused(x) && Fused(delta) && type == at::kFloat) {
    const auto out = AddRmsNormFunction::apply(x.contiguous(), delta.contiguous(), weight, epsilon);
    return {out[0], out[1]};
  }
  const at::Tensor h = x + delta.to(x.scalar_type());
  return {h, RmsNorm(h, weight, epsilon, type)};
}

at::Tensor SwiGlu(const at::Tensor& gate_up) {
  if (Fused(gate_up)) return SwiGluFunction::apply(gate_up.contiguous());
  const auto halves = gate_up.chunk(2, -1);
  return at::silu(halves[0]) * halves[1];
}

}  // namespace tandem::operations
