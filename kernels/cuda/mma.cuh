// The instructions of tensor cores that the kernels use (PTX ISA, "Matrix multiply-accumulate operation"; sm_80 on).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/bfloat16.h"

namespace tandem::kernels::cuda {

// Begins to copy 16 bytes from global to shared memory, both aligned to 16; zeros where not `valid`. `from` is not read
// then, but has to be an address.
__device__ inline void BeginCopy16(void* to, const void* from, bool valid) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes) : "memory");
}
// Ends a group of this thread's copies.
__device__ inline void EndCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most `groups` of this thread's groups, the latest, are not done.
template <int groups>
__device__ inline void WaitForCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(groups) : "memory");
}

// Four 8x8 matrices of bf16 from shared memory: lane l gives the address of row l % 8 of matrix l / 8 (16 bytes,
// aligned), and gets of each matrix the two numbers at row l / 4, columns 2 (l % 4) and the next.
__device__ inline void LoadMatrices(const BFloat16* row, uint32_t (&matrices)[4]) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
               : "r"(address)
               : "memory");
}

// sum[16, 8] += a[16, 16] b[8, 16]^T. a: matrices (rows 0-7, columns 0-7), (8-15, 0-7), (0-7, 8-15), (8-15, 8-15);
// b: columns 0-7 and 8-15. Lane l has of sum the numbers (l / 4, 2 (l % 4)), the next, and the same eight rows below.
__device__ inline void MultiplyAdd(const uint32_t (&a)[4], const uint32_t b0, const uint32_t b1, float (&sum)[4]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

}  // namespace tandem::kernels::cuda
