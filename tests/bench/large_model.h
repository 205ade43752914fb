// Model folders of a size in bytes, for benchmarks.
#pragma once

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "policy/files/save_model_folder.h"

namespace tandem {

// A shape with as many layers as make that many parameters.
inline ModelConfig ShapeOf(int64_t parameters) {
  ModelConfig shape = {.vocabulary = 32000,
                       .hidden = 1024,
                       .heads = 16,
                       .kv_heads = 8,
                       .intermediate = 3072,
                       .context = 4096,
                       .tied_head = true};
  while (ParameterCount(shape) < parameters) ++shape.layers;
  return shape;
}

// Nothing where it is there already.
inline void WriteFolder(const std::string& path, const ModelConfig& shape, Dtype dtype) {
  if (std::filesystem::exists(path)) return;
  std::vector<float> weights(static_cast<size_t>(ParameterCount(shape)));
  for (size_t i = 0; i < weights.size(); ++i) {
    weights[i] = 0.1f * (UniformFloat(static_cast<uint32_t>(i) * 2654435761u) - 0.5f);
  }
  const absl::Status status = SaveModelFolder(path, shape, weights, {.dtype = dtype});
  if (!status.ok()) std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  TANDEM_CHECK(status.ok());
}

}  // namespace tandem
