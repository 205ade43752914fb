// A sequence of kernels that is recorded once and launched as a whole (a CUDA graph): a decode step of a small model is
// hundreds of launches, each of which takes longer than its kernel.
#pragma once

#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/cuda/stream.h"

struct CUgraphExec_st;

namespace tandem::kernels::cuda {

class Graph {
 public:
  // Calls `record`, which queues work on `stream` that is recorded and not run. It must not wait for the device or
  // allocate memory; all pointers that it passes are read again at each launch, so that what they point to has to stay.
  // `stream` is not the default one. The error of `record`, kInternal with CUDA's words, or kUnavailable in a build
  // without CUDA; `stream` is as before.
  static absl::StatusOr<Graph> Capture(Stream stream, absl::FunctionRef<absl::Status()> record);

  Graph(Graph&& other) noexcept : graph_(other.graph_) { other.graph_ = nullptr; }
  Graph& operator=(Graph&& other) noexcept {
    std::swap(graph_, other.graph_);
    return *this;
  }
  ~Graph();  // not while a launch is in work

  // Queues all that was recorded on `stream`.
  absl::Status Launch(Stream stream) const;

 private:
  explicit Graph(CUgraphExec_st* graph) : graph_(graph) {}
  CUgraphExec_st* graph_;
};

}  // namespace tandem::kernels::cuda
