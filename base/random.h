// Counter-based random numbers: a draw is a pure function of its key and position, so that it does not depend on what
// else was drawn, in which order, or on which machine. Philox4x32-10 (Salmon et al., SC 2011, "Parallel random numbers:
// as easy as 1, 2, 3").
#pragma once

#include <array>
#include <cstdint>

namespace tandem {

// Four independent 32-bit numbers for (key, counter).
inline std::array<uint32_t, 4> Philox(uint64_t key, uint64_t counter_low, uint64_t counter_high = 0) {
  std::array<uint32_t, 4> c = {static_cast<uint32_t>(counter_low), static_cast<uint32_t>(counter_low >> 32),
                               static_cast<uint32_t>(counter_high), static_cast<uint32_t>(counter_high >> 32)};
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * c[0], p1 = uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return c;
}

// Uniform in [0, 1), with 24 bits.
inline float UniformFloat(uint32_t bits) { return static_cast<float>(bits >> 8) * (1.0f / (1 << 24)); }

// Mixes two words into a key: use it to derive (seed, episode, role, node) keys step by step.
inline uint64_t MixKey(uint64_t key, uint64_t word) {
  const auto r = Philox(key, word, 0x74616e64656d);
  return (static_cast<uint64_t>(r[1]) << 32) | r[0];
}

// The numbers of one key, drawn in order.
class RandomStream {
 public:
  explicit RandomStream(uint64_t key) : key_(key) {}
  uint64_t Next() {
    const auto r = Philox(key_, counter_++);
    return (static_cast<uint64_t>(r[1]) << 32) | r[0];
  }
  // Uniform in 0 .. n-1, n > 0. The bias is below n / 2^64.
  uint64_t Below(uint64_t n) { return static_cast<uint64_t>((static_cast<unsigned __int128>(Next()) * n) >> 64); }
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }

 private:
  uint64_t key_;
  uint64_t counter_ = 0;
};

}  // namespace tandem
