#include "tests/bench/generation_peak.h"

#include <cstdint>
#include <vector>

#include "kernels/cpu/dot_panel.h"
#include "kernels/cpu/targets.h"
#include "rollout/engine/aligned_bytes.h"
#include "tests/bench/cpu_time.h"
//
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tests/bench/generation_peak.cc"
#include <hwy/foreach_target.h>  // must come before highway.h
//
#include <hwy/cache_control.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace tandem::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Twelve independent chains, `rounds` links each. Returns the operations done.
double MultiplyAdds(int64_t rounds, float* result) {
  const hn::CappedTag<float, 16> d;
  using V = hn::Vec<decltype(d)>;
  const V m = hn::Set(d, 0.999f), c = hn::Set(d, 0.001f);
  // All start at different values: of equal chains the compiler would compute one.
  V a0 = hn::Set(d, *result), a1 = hn::Add(a0, c), a2 = hn::Add(a1, c), a3 = hn::Add(a2, c), a4 = hn::Add(a3, c);
  V a5 = hn::Add(a4, c), a6 = hn::Add(a5, c), a7 = hn::Add(a6, c), a8 = hn::Add(a7, c), a9 = hn::Add(a8, c);
  V a10 = hn::Add(a9, c), a11 = hn::Add(a10, c);
  for (int64_t i = 0; i < rounds; ++i) {
    a0 = hn::MulAdd(a0, m, c), a1 = hn::MulAdd(a1, m, c), a2 = hn::MulAdd(a2, m, c), a3 = hn::MulAdd(a3, m, c);
    a4 = hn::MulAdd(a4, m, c), a5 = hn::MulAdd(a5, m, c), a6 = hn::MulAdd(a6, m, c), a7 = hn::MulAdd(a7, m, c);
    a8 = hn::MulAdd(a8, m, c), a9 = hn::MulAdd(a9, m, c), a10 = hn::MulAdd(a10, m, c), a11 = hn::MulAdd(a11, m, c);
  }
  const V sum =
      hn::Add(hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)),
              hn::Add(hn::Add(hn::Add(a4, a5), hn::Add(a6, a7)), hn::Add(hn::Add(a8, a9), hn::Add(a10, a11))));
  *result = hn::GetLane(sum);
  return static_cast<double>(rounds) * 12 * 2 * static_cast<double>(hn::Lanes(d));
}

// Reads `bytes`, a multiple of 1024, once.
void ReadAll(const float* from, int64_t bytes, float* result) {
  const hn::CappedTag<float, 16> d;
  using V = hn::Vec<decltype(d)>;
  V sum[8] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  const int64_t lanes = hn::Lanes(d);
  for (int64_t i = 0; i < bytes / 4; i += 8 * lanes) {
#pragma GCC unroll 8
    for (int64_t j = 0; j < 8; ++j) {
      hwy::Prefetch(from + i + j * lanes + 512);
      sum[j] = hn::Add(sum[j], hn::Load(d, from + i + j * lanes));
    }
  }
  for (const V& v : sum) *result += hn::GetLane(v);
}

}  // namespace tandem::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tandem {
HWY_EXPORT(MultiplyAdds);
HWY_EXPORT(ReadAll);

double PeakFlops(double seconds) {
  std::vector<double> rates;
  float sink = 0.1f;
  const double end = CpuTime() + seconds;
  while (CpuTime() < end) {
    const double start = CpuTime();
    const double operations = HWY_DYNAMIC_DISPATCH(MultiplyAdds)(1 << 20, &sink);
    rates.push_back(operations / (CpuTime() - start));
  }
  return sink == 12345 ? 0 : Median(rates);
}

double PeakDotFlops(kernels::WeightType type, double seconds) {
  const kernels::DotPanels& dot = kernels::ChosenDotPanels();
  if (dot.peak == nullptr) return PeakFlops(seconds);
  std::vector<double> rates;
  for (const double end = CpuTime() + seconds; CpuTime() < end;) {
    const double start = CpuTime();
    const double operations = dot.peak(type == kernels::WeightType::kInt8, 1 << 18);
    rates.push_back(operations / (CpuTime() - start));
  }
  return Median(rates);
}

double ReadRate(int64_t bytes, double seconds) {
  bytes = (bytes + 1023) / 1024 * 1024;
  AlignedFloats from(bytes / 4 + 1024);
  std::vector<double> rates;
  float sink = 0;
  for (const double end = CpuTime() + seconds; CpuTime() < end;) {
    const double start = CpuTime();
    const int64_t times = 1 + 50'000'000 / bytes;
    for (int64_t i = 0; i < times; ++i) HWY_DYNAMIC_DISPATCH(ReadAll)(from.data(), bytes, &sink);
    rates.push_back(static_cast<double>(bytes * times) / (CpuTime() - start));
  }
  return sink == 12345 ? 0 : Median(rates);
}

}  // namespace tandem
#endif
