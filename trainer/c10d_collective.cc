#include "trainer/c10d_collective.h"

#include <ATen/ATen.h>

#include <chrono>
#include <exception>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "policy/torch_status.h"

namespace tandem {
namespace {

// How long the ranks that are still there have to say so after a failure.
constexpr double kRollCallSeconds = 2;

std::chrono::milliseconds Milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Collective>> C10dCollective::Meet(const CollectiveOptions& options,
                                                                 const std::string& device,
                                                                 const MakeBackend& make_backend) {
  TANDEM_CHECK(options.rank < options.ranks);
  std::unique_ptr<C10dCollective> c(new C10dCollective(options, device));
  try {
    c->store_ = c10::make_intrusive<c10d::FileStore>(options.rendezvous, static_cast<int>(options.ranks));
    c->store_->setTimeout(Milliseconds(options.timeout_s));
    if (const std::string missing = c->Missing("joined", options.timeout_s); !missing.empty()) {
      return absl::DeadlineExceededError(absl::StrCat(options.who, " rank ", options.rank, ": ", missing,
                                                      " did not come to ", options.rendezvous, " within ",
                                                      options.timeout_s, " s; expected ", options.ranks, " ranks"));
    }
    c->backend_ = make_backend(c->store_);
  } catch (const std::exception& e) {
    return absl::UnavailableError(absl::StrCat(options.who, " rank ", options.rank, ": meeting at ", options.rendezvous,
                                               ": ", FirstLine(e.what())));
  }
  return c;
}

absl::Status C10dCollective::AllReduceSum(const at::Tensor& tensor) {
  return AllReduce(tensor, c10d::ReduceOp::SUM, "a sum");
}

absl::Status C10dCollective::AllReduceMax(const at::Tensor& tensor) {
  return AllReduce(tensor, c10d::ReduceOp::MAX, "a maximum");
}

absl::Status C10dCollective::Barrier() {
  return AllReduce(at::zeros({1}, at::TensorOptions().dtype(at::kFloat).device(device_)), c10d::ReduceOp::SUM,
                   "a barrier");
}

absl::Status C10dCollective::AllReduce(const at::Tensor& tensor, c10d::ReduceOp::RedOpType op, const char* what) {
  std::string error;
  try {
    std::vector<at::Tensor> tensors = {tensor};
    c10d::AllreduceOptions how;
    how.reduceOp = op;
    how.timeout = Milliseconds(options_.timeout_s);
    backend_->allreduce(tensors, how)->wait();
    return absl::OkStatus();
  } catch (const std::exception& e) {
    error = FirstLine(e.what());
  }
  // A rank that died breaks the connections of all others: those that are left sign, and the rest is known by name.
  const std::string missing = Missing("failed", kRollCallSeconds);
  return absl::UnavailableError(
      absl::StrCat(options_.who, " rank ", options_.rank, ": ",
                   missing.empty() ? "all ranks failed" : absl::StrCat(missing, " is missing"), " in ", what, " over ",
                   tensor.numel(), " numbers of ", options_.ranks, " ranks: ", error));
}

std::string C10dCollective::Missing(const std::string& occasion, double seconds) {
  const auto key = [&](uint32_t rank) { return absl::StrCat(occasion, "/", rank); };
  std::vector<std::string> keys, missing;
  for (uint32_t r = 0; r < options_.ranks; ++r) keys.push_back(key(r));
  try {
    store_->set(key(options_.rank), std::string("here"));
    store_->wait(keys, Milliseconds(seconds));
    return "";
  } catch (const std::exception&) {
    for (uint32_t r = 0; r < options_.ranks; ++r) {
      try {
        if (!store_->check({keys[r]})) missing.push_back(absl::StrCat("rank ", r));
      } catch (const std::exception&) {
        missing.push_back(absl::StrCat("rank ", r));
      }
    }
  }
  return absl::StrJoin(missing, ", ");
}

}  // namespace tandem
