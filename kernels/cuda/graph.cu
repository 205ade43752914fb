#include "base/status.h"
#include "kernels/cuda/error.h"
#include "kernels/cuda/graph.h"

namespace tandem::kernels::cuda {

absl::StatusOr<Graph> Graph::Capture(Stream stream, absl::FunctionRef<absl::Status()> record) {
  // Of this thread alone: another one, such as a trainer's, may allocate meanwhile.
  TANDEM_RETURN_IF_ERROR(
      ToStatus(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture"));
  const absl::Status recorded = record();
  cudaGraph_t work = nullptr;
  const absl::Status ended = ToStatus(cudaStreamEndCapture(stream, &work), "cudaStreamEndCapture");
  TANDEM_RETURN_IF_ERROR(recorded);
  TANDEM_RETURN_IF_ERROR(ended);
  cudaGraphExec_t graph = nullptr;
  const absl::Status made = ToStatus(cudaGraphInstantiate(&graph, work, 0), "cudaGraphInstantiate");
  cudaGraphDestroy(work);
  TANDEM_RETURN_IF_ERROR(made);
  return Graph(graph);
}

Graph::~Graph() {
  if (graph_ != nullptr) cudaGraphExecDestroy(graph_);
}

absl::Status Graph::Launch(Stream stream) const { return ToStatus(cudaGraphLaunch(graph_, stream), "cudaGraphLaunch"); }

}  // namespace tandem::kernels::cuda
