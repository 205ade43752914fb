// Panels by AVX-512's dot products of bf16 pairs (BF16) and of 8-bit quadruples (VNNI).
#include "kernels/cpu/dot_panel.h"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vnni")

namespace tandem::kernels {
namespace {

constexpr int kTileRows = 12;   // 24 registers of sums; the rest holds weights and inputs
constexpr int64_t kAhead = 64;  // groups

struct Bf16 {
  using Sum = float;
  using V = __m512;
  static V Zero() { return _mm512_setzero_ps(); }
  static V Dot(V sum, __m512i x, __m512i w) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(x), reinterpret_cast<__m512bh>(w));
  }
  static void Store(Sum* to, V sum) { _mm512_storeu_ps(to, sum); }
};

struct Int8 {
  using Sum = int32_t;
  using V = __m512i;
  static V Zero() { return _mm512_setzero_si512(); }
  static V Dot(V sum, __m512i x, __m512i w) { return _mm512_dpbusd_epi32(sum, x, w); }
  static void Store(Sum* to, V sum) { _mm512_storeu_si512(to, sum); }
};

// Fetches weights ahead of the sums. `only`: the panel has no other tile, and its weights are used as fast as they
// come.
template <class Type, int kRows>
void Tile(const uint32_t* x, int64_t groups, const uint32_t* panel, bool only, typename Type::Sum* sums) {
  typename Type::V low[kRows], high[kRows];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) low[r] = high[r] = Type::Zero();
  const uint32_t* const next = panel + groups * 32;
  for (int64_t k = 0; k < groups; ++k, panel += 32) {
    const uint32_t* ahead =
        only ? panel + kAhead * 32 : next + k % 4 * (groups * 32 / 4) + k / 4 * 32;  // four places, see linear-inl.h
    __builtin_prefetch(ahead, 0, 2);
    __builtin_prefetch(ahead + 16, 0, 2);
    const __m512i w0 = _mm512_loadu_si512(panel), w1 = _mm512_loadu_si512(panel + 16);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const __m512i value = _mm512_set1_epi32(static_cast<int>(x[r * groups + k]));
      low[r] = Type::Dot(low[r], value, w0);
      high[r] = Type::Dot(high[r], value, w1);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    Type::Store(sums + r * 32, low[r]);
    Type::Store(sums + r * 32 + 16, high[r]);
  }
}

template <class Type, int kRows = kTileRows>
void Rows(int64_t rows, const uint32_t* x, int64_t groups, const uint32_t* panel, bool only, typename Type::Sum* sums) {
  if (rows == kRows) return Tile<Type, kRows>(x, groups, panel, only, sums);
  if constexpr (kRows > 1) Rows<Type, kRows - 1>(rows, x, groups, panel, only, sums);
}

template <class Type>
void Panel(int64_t rows, const uint32_t* x, int64_t groups, const uint32_t* panel, typename Type::Sum* sums) {
  const int64_t tiles = (rows + kTileRows - 1) / kTileRows;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t first = rows * tile / tiles, count = rows * (tile + 1) / tiles - first;
    Rows<Type>(count, x + first * groups, groups, panel, tiles == 1, sums + first * 32);
  }
}

template <class Type>
void Chains(int64_t times) {
  typename Type::V sum[kTileRows];
#pragma GCC unroll 16
  for (auto& s : sum) s = Type::Zero();
  __m512i x = _mm512_setzero_si512();
  for (int64_t i = 0; i < times; ++i) {
    asm volatile("" : "+v"(x));  // or all chains would be one
#pragma GCC unroll 16
    for (auto& s : sum) s = Type::Dot(s, x, x);
#pragma GCC unroll 16
    for (auto& s : sum) asm volatile("" : "+v"(s));
  }
}

double Peak(bool int8, int64_t times) {
  int8 ? Chains<Int8>(times) : Chains<Bf16>(times);
  return static_cast<double>(times) * kTileRows * 16 * (int8 ? 4 : 2) * 2;
}

}  // namespace

const DotPanels* Avx512DotPanels() {
  static const DotPanels panels = {"AVX512_BF16", nullptr, nullptr, Panel<Bf16>, Panel<Int8>, Peak};
  static const bool usable = __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni") &&
                             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                             __builtin_cpu_supports("avx512dq");
  return usable ? &panels : nullptr;
}

}  // namespace tandem::kernels

#pragma GCC pop_options
#else
namespace tandem::kernels {
const DotPanels* Avx512DotPanels() { return nullptr; }
}  // namespace tandem::kernels
#endif
