// Tensors of files into memory: the part of loading that takes time.
#pragma once

#include <span>

#include "absl/status/status.h"
#include "policy/files/safetensors.h"

namespace tandem {

// One tensor's way. `out` has room for all its numbers.
struct TensorRead {
  const SafetensorsFile* file;
  const TensorView* tensor;  // of that file
  float* out;
};

// Reads and converts all of them with `threads` threads (1 or more; this one is among them), in pieces of a few MB. The
// places may not overlap. kDataLoss: a file was cut short since it was opened; what was filled is then undefined.
absl::Status ReadTensors(std::span<const TensorRead> reads, int threads);

// One for each core, 8 at most: what memory can be filled with.
int ReadingThreads();

// Asks for huge pages under `memory`, before it is touched for the first time: loading then takes two thirds of the
// time. Changes nothing where the system has none, or where it was touched already.
void AdviseHugePages(std::span<float> memory);

}  // namespace tandem
