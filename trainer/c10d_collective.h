// A collective over a backend of c10d (Gloo, NCCL), with errors that name the missing ranks.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <vector>

#include "trainer/collective.h"

namespace tandem {

using MakeBackend = std::function<c10::intrusive_ptr<c10d::Backend>(const c10::intrusive_ptr<c10d::Store>&)>;

// c10d's exceptions become Status here and nowhere else.
class C10dCollective final : public Collective {
 public:
  // Waits until all ranks have signed the rendezvous file, then builds the backend over it. `device`: "cpu" or
  // "cuda:0".
  static absl::StatusOr<std::unique_ptr<Collective>> Meet(const CollectiveOptions& options, const std::string& device,
                                                          const MakeBackend& make_backend);

  uint32_t rank() const override { return options_.rank; }
  uint32_t size() const override { return options_.ranks; }
  absl::Status AllReduceSum(const at::Tensor& tensor) override;
  absl::Status AllReduceMax(const at::Tensor& tensor) override;
  absl::Status Barrier() override;

 private:
  C10dCollective(CollectiveOptions options, std::string device) : options_(std::move(options)), device_(device) {}

  absl::Status AllReduce(const at::Tensor& tensor, c10d::ReduceOp::RedOpType op, const char* what);
  // The ranks that do not sign `occasion` in the store within `seconds`, this rank having signed: "rank 1, rank 3".
  std::string Missing(const std::string& occasion, double seconds);

  const CollectiveOptions options_;
  const std::string device_;
  c10::intrusive_ptr<c10d::Store> store_;
  c10::intrusive_ptr<c10d::Backend> backend_;
};

}  // namespace tandem
