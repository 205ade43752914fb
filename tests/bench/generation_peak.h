// The most multiply-adds that one thread can do.
#pragma once

namespace tandem {

// Float32 operations per second of CPU time (a fused multiply-add counts two), measured over about `seconds` in
// registers alone, with the widest vectors that the kernels use.
double PeakFlops(double seconds);

}  // namespace tandem
