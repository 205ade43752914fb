// The types of number that weights have on disk.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace tandem {

enum class Dtype { kF32, kBF16, kF16 };

// As safetensors names it: "F32", "BF16", "F16".
constexpr const char* DtypeName(Dtype dtype) {
  return dtype == Dtype::kF32 ? "F32" : dtype == Dtype::kBF16 ? "BF16" : "F16";
}
// As config.json names it: "float32", "bfloat16", "float16".
constexpr const char* TorchDtypeName(Dtype dtype) {
  return dtype == Dtype::kF32 ? "float32" : dtype == Dtype::kBF16 ? "bfloat16" : "float16";
}
// The type of a safetensors name, if it is one of these.
constexpr std::optional<Dtype> DtypeNamed(std::string_view name) {
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBF16, Dtype::kF16}) {
    if (std::string_view(DtypeName(dtype)) == name) return dtype;
  }
  return std::nullopt;
}
constexpr int64_t DtypeBytes(Dtype dtype) { return dtype == Dtype::kF32 ? 4 : 2; }

}  // namespace tandem
