// Tests of kernels that have a CUDA twin: one body, run on every instruction set of the CPU and on CUDA, with float32
// and (where the kernel has it) bf16 storage.
#pragma once

#include "kernels/bfloat16.h"
#include "kernels/cuda/stream.h"
#include "tests/kernels/instruction_set_test.h"

namespace tandem::kernels {

inline std::vector<std::string> Devices() {
  std::vector<std::string> devices = InstructionSets();
  devices.push_back("CUDA");
  return devices;
}
inline std::vector<std::string> CudaTypes() { return {"CUDA", "CUDA_BF16"}; }
inline std::vector<std::string> DevicesAndTypes() {
  std::vector<std::string> devices = Devices();
  devices.push_back("CUDA_BF16");
  return devices;
}

class EveryDevice : public testing::TestWithParam<std::string> {
 protected:
  bool cuda() const { return GetParam().starts_with("CUDA"); }
  bool bf16() const { return GetParam() == "CUDA_BF16"; }
  // The numbers as they are stored: a reference starts from these.
  std::vector<float> Stored(std::vector<float> values) const {
    if (!bf16()) return values;
    for (float& value : values) value = ToFloat(ToBFloat16(value));
    return values;
  }
  // The relative error of one rounding to the stored type, and some more.
  double relative(double of_float = 3e-6) const { return bf16() ? 0x1.1p-8 : of_float; }
  // Calls run with a number of the stored type.
  template <class Run>
  auto WithType(Run run) const {
    return bf16() ? run(BFloat16{}) : run(0.0f);
  }
  void SetUp() override {
    if (!cuda()) return ForceInstructionSet(GetParam());
    if (cuda::Devices() == 0) GTEST_SKIP() << "no CUDA device";
  }
  void TearDown() override { ForceInstructionSet(""); }
};

#define TANDEM_ON_EVERY_DEVICE(suite)                                                      \
  INSTANTIATE_TEST_SUITE_P(Device, suite, testing::ValuesIn(::tandem::kernels::Devices()), \
                           [](const auto& info) { return info.param; })

#define TANDEM_ON_EVERY_DEVICE_AND_TYPE(suite)                                                     \
  INSTANTIATE_TEST_SUITE_P(Device, suite, testing::ValuesIn(::tandem::kernels::DevicesAndTypes()), \
                           [](const auto& info) { return info.param; })
#define TANDEM_ON_CUDA_TYPES(suite)                                                          \
  INSTANTIATE_TEST_SUITE_P(Device, suite, testing::ValuesIn(::tandem::kernels::CudaTypes()), \
                           [](const auto& info) { return info.param; })

template <class T>
std::vector<T> As(const std::vector<float>& values) {
  if constexpr (std::is_same_v<T, float>) {
    return values;
  } else {
    std::vector<T> stored;
    for (const float value : values) stored.push_back(ToBFloat16(value));
    return stored;
  }
}
inline std::vector<float> Floats(const std::vector<float>& values) { return values; }
inline std::vector<float> Floats(const std::vector<BFloat16>& values) {
  std::vector<float> floats;
  for (const BFloat16 value : values) floats.push_back(ToFloat(value));
  return floats;
}

inline void ExpectOk(const absl::Status& status) { EXPECT_TRUE(status.ok()) << status; }

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
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  T* data() { return data_; }
  void Assign(const std::vector<T>& host) {
    ASSERT_EQ(host.size(), size_);
    EXPECT_TRUE(cuda::CopyToDevice(data_, host.data(), size_ * sizeof(T), nullptr).ok());
  }
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
