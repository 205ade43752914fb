// What the engine builds on: graphs, matrix products, and rows that are moved about.
#include "kernels/cuda/graph.h"

#include "kernels/cuda/blas.h"
#include "kernels/cuda/rows.h"
#include "tests/kernels/device_test.h"

namespace tandem::kernels {
namespace {

class OnStream : public EveryDevice {
 protected:
  void SetUp() override {
    EveryDevice::SetUp();
    if (IsSkipped()) return;
    const absl::StatusOr<cuda::Stream> stream = cuda::MakeStream();
    ASSERT_TRUE(stream.ok()) << stream.status();
    stream_ = *stream;
  }
  void TearDown() override {
    if (stream_ != nullptr) cuda::DestroyStream(stream_);
    EveryDevice::TearDown();
  }
  cuda::Stream stream_ = nullptr;
};

class GraphTest : public OnStream {};
TANDEM_ON_CUDA_TYPES(GraphTest);

TEST_P(GraphTest, ALaunchReadsItsInputsAnew) {
  WithType([&]<class T>(T) {
    DeviceArray<T> table(As<T>({1, 2, 3, 4, 5, 6})), taken(std::vector<T>(4));
    DeviceArray<int32_t> index({2, 0});
    const auto record = [&] { return cuda::TakeRows(table.data(), index.data(), 2, 2, taken.data(), stream_); };
    absl::StatusOr<cuda::Graph> graph = cuda::Graph::Capture(stream_, record);
    EXPECT_TRUE(graph.ok()) << graph.status();
    if (!graph.ok()) return 0;
    ExpectOk(cuda::Synchronize(stream_));
    EXPECT_EQ(Floats(taken.Fetch()), (std::vector<float>{0, 0, 0, 0})) << "recorded, not run";
    ExpectOk(graph->Launch(stream_));
    ExpectOk(cuda::Synchronize(stream_));
    EXPECT_EQ(Floats(taken.Fetch()), (std::vector<float>{5, 6, 1, 2}));
    index.Assign({1, 1});
    ExpectOk(graph->Launch(stream_));
    ExpectOk(cuda::Synchronize(stream_));
    EXPECT_EQ(Floats(taken.Fetch()), (std::vector<float>{3, 4, 3, 4}));
    return 0;
  });
}

TEST_P(GraphTest, AnErrorWhileRecordingIsReturnedAndTheStreamGoesOn) {
  const auto record = [] { return absl::AbortedError("no"); };
  EXPECT_EQ(cuda::Graph::Capture(stream_, record).status().code(), absl::StatusCode::kAborted);
  DeviceArray<float> x({1, 2}), y({0, 0});
  ExpectOk(cuda::QueueCopy(y.data(), x.data(), 2 * sizeof(float), stream_));
  ExpectOk(cuda::Synchronize(stream_));
  EXPECT_EQ(y.Fetch(), (std::vector<float>{1, 2}));
}

class BlasTest : public OnStream {};
TANDEM_ON_CUDA_TYPES(BlasTest);

TEST_P(BlasTest, LinearAgreesWithAten) {
  auto blas = cuda::Blas::Create(stream_);
  if (absl::IsUnavailable(blas.status())) GTEST_SKIP() << blas.status();
  ASSERT_TRUE(blas.ok()) << blas.status();
  for (const auto [rows, in, out] : {std::array<int64_t, 3>{1, 8, 16}, {3, 7, 5}, {17, 64, 40}}) {
    SCOPED_TRACE(testing::Message() << rows << " rows, " << in << " to " << out);
    const std::vector<float> x = Stored(RandomFloats(rows * in, 1)), weight = Stored(RandomFloats(out * in, 2));
    const at::Tensor wanted = at::matmul(Double(x, {rows, in}), Double(weight, {out, in}).t());
    WithType([&]<class T>(T) {
      DeviceArray<T> a(As<T>(x)), w(As<T>(weight)), y(std::vector<T>(rows * out));
      DeviceArray<float> floats(std::vector<float>(rows * out));
      ExpectOk((*blas)->Linear(a.data(), rows, w.data(), in, out, y.data()));
      ExpectOk((*blas)->Linear(a.data(), rows, w.data(), in, out, floats.data()));
      ExpectOk(cuda::Synchronize(stream_));
      ExpectClose(Floats(y.Fetch()), wanted, 1e-5, relative());
      ExpectClose(floats.Fetch(), wanted, 1e-5, 3e-6);
      return 0;
    });
  }
}

TEST_P(OnStream, ConvertRoundsAsTheHostDoes) {
  const std::vector<float> x = RandomFloats(1000, 1);
  DeviceArray<float> in(x);
  DeviceArray<BFloat16> out(std::vector<BFloat16>(1000));
  ExpectOk(cuda::Convert(in.data(), 1000, out.data(), stream_));
  ExpectOk(cuda::Synchronize(stream_));
  EXPECT_EQ(Floats(out.Fetch()), Floats(As<BFloat16>(x)));
}
INSTANTIATE_TEST_SUITE_P(Device, OnStream, testing::Values("CUDA"), [](const auto& info) { return info.param; });

}  // namespace
}  // namespace tandem::kernels
