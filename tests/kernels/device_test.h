// Tests of kernels that have a CUDA twin: one body, run on every instruction set of the CPU and on CUDA.
#pragma once

#include "kernels/cuda/stream.h"
#include "tests/kernels/instruction_set_test.h"

namespace tandem::kernels {

inline std::vector<std::string> Devices() {
  std::vector<std::string> devices = InstructionSets();
  devices.push_back("CUDA");
  return devices;
}

class EveryDevice : public testing::TestWithParam<std::string> {
 protected:
  bool cuda() const { return GetParam() == "CUDA"; }
  void SetUp() override {
    if (!cuda()) return ForceInstructionSet(GetParam());
    if (cuda::Devices() == 0) GTEST_SKIP() << "no CUDA device";
  }
  void TearDown() override { ForceInstructionSet(""); }
};

#define TANDEM_ON_EVERY_DEVICE(suite)                                                      \
  INSTANTIATE_TEST_SUITE_P(Device, suite, testing::ValuesIn(::tandem::kernels::Devices()), \
                           [](const auto& info) { return info.param; })

// A copy of `host` in device memory.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(const std::vector<T>& host) : size_(host.size()) {
    auto memory = cuda::Allocate(size_ * sizeof(T));
    EXPECT_TRUE(memory.ok()) << memory.status();
    if (memory.ok()) data_ = static_cast<T*>(*memory);
    EXPECT_TRUE(cuda::CopyToDevice(data_, host.data(), size_ * sizeof(T), nullptr).ok());
  }
  ~DeviceArray() { cuda::Free(data_); }
  T* data() { return data_; }
  std::vector<T> Fetch() const {
    std::vector<T> host(size_);
    EXPECT_TRUE(cuda::CopyToHost(host.data(), data_, size_ * sizeof(T), nullptr).ok());
    return host;
  }

 private:
  T* data_ = nullptr;
  size_t size_;
};

}  // namespace tandem::kernels
