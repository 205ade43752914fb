// The SIMD variants that are compiled. Include it before anything of Highway.
#pragma once

// SSSE3 and AVX3_DL would only lengthen the build: no kernel uses what sets them apart. SVE's vectors have no size at
// compile time, so that arrays of them (the register tiles) do not compile; NEON serves those machines.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
