// Where tensors live. The binary links the CPU part of LibTorch only; the CUDA part is loaded when it is wanted, so
// that one binary serves machines with and without a GPU.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

// "auto", "cpu" or "cuda" -> "cpu" or "cuda". "auto" takes a GPU where there is one, and otherwise costs a few system
// calls. "cuda" without a usable GPU is kUnavailable and says what is missing; another word is kInvalidArgument.
// On "cuda" libtorch_cuda.so is loaded for good: call this before any other use of torch in the process, which
// otherwise settles on having no CUDA. Thread-safe.
absl::StatusOr<std::string> ResolveDevice(std::string_view asked);

// Loads libtorch_cuda.so (once) and checks that it sees a GPU. kUnavailable names the missing part.
absl::Status LoadCuda();

}  // namespace tandem
