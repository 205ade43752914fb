// Which of the compiled SIMD variants the CPU kernels run on. Results are bitwise equal between runs on the same one.
#pragma once

#include <string>
#include <vector>

namespace tandem::kernels {

// "AVX3" (AVX-512), "AVX2", "SSE4", "NEON" or "SCALAR": the best that this CPU has and the build holds.
std::string InstructionSet();

// All that this CPU can run, best first.
std::vector<std::string> InstructionSets();

// For tests: from now on run on `name`, one of InstructionSets(); "" returns to the best. Weights that were packed
// before stay valid. Not to be called while a kernel runs.
void ForceInstructionSet(const std::string& name);

}  // namespace tandem::kernels
