#include "policy/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <new>
#include <stdexcept>

#include "policy/torch_status.h"

namespace tandem {
namespace {

TEST(DeviceTest, CpuIsAlwaysThere) { EXPECT_EQ(ResolveDevice("cpu").value(), "cpu"); }

TEST(DeviceTest, AutoFindsSomething) { EXPECT_THAT(ResolveDevice("auto").value(), testing::AnyOf("cpu", "cuda")); }

TEST(DeviceTest, AnUnknownWordIsRefused) {
  const absl::Status status = ResolveDevice("gpu").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "device: 'gpu' is unknown; expected auto, cpu or cuda");
}

TEST(DeviceTest, CudaThatIsMissingIsSaidClearlyAndQuickly) {
  if (std::filesystem::exists("/dev/nvidia0")) GTEST_SKIP() << "there is a GPU";
  const auto start = std::chrono::steady_clock::now();
  const absl::Status status = ResolveDevice("cuda").status();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), testing::StartsWith("device: cuda was asked for, but "));
  EXPECT_EQ(ResolveDevice("auto").value(), "cpu");
}

TEST(TorchStatusTest, ExceptionsBecomeStatus) {
  const absl::Status torch = TorchStatus([] { TORCH_CHECK(false, "shapes\ndo not fit"); });
  EXPECT_EQ(torch.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(torch.message(), "torch: shapes");
  const auto other = TorchStatus([]() -> int { throw std::runtime_error("broken"); });
  EXPECT_EQ(other.status().message(), "torch: broken");
  const auto memory = TorchStatus([] { TORCH_CHECK_WITH(OutOfMemoryError, false, "no memory left"); });
  EXPECT_EQ(memory.code(), absl::StatusCode::kResourceExhausted);
}

TEST(TorchStatusTest, ResultsPassThrough) {
  EXPECT_EQ(TorchStatus([] { return 7; }).value(), 7);
  EXPECT_TRUE(TorchStatus([] {}).ok());
  EXPECT_EQ(TorchStatus([] { return absl::NotFoundError("x"); }).code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace tandem
