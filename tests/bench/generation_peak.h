// The most that one thread can do.
#pragma once

#include <cstdint>

#include "kernels/packed_linear.h"

namespace tandem {

// Float32 operations per second of CPU time (a fused multiply-add counts two), measured over about `seconds` in
// registers alone, with the widest vectors that the kernels use.
double PeakFlops(double seconds);

// The same of the dot products that layers of `type` (kBf16 or kInt8) are computed with. Where the processor has none,
// the float32 rate.
double PeakDotFlops(kernels::WeightType type, double seconds);

// Bytes per second of CPU time at which one thread reads `bytes` bytes again and again, from wherever they lie.
double ReadRate(int64_t bytes, double seconds);

}  // namespace tandem
