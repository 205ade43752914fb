// kernels/linear.h over tensors, rows spread over threads.
#pragma once

#include <ATen/core/Tensor.h>

namespace tandem::operations {

// weight: [out, in] float32 on the CPU. Into the memory of `again` if that is defined and has the size.
at::Tensor PackedWeight(const at::Tensor& weight, const at::Tensor& again = {});

// x [rows, in] times a packed weight -> [rows, out].
at::Tensor PackedProduct(const at::Tensor& x, const at::Tensor& packed, int64_t out);

}  // namespace tandem::operations
