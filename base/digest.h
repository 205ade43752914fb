// The digest by which a version of weights, a configuration or a file is recognised: XXH3, 128 bits, in hex.
// It tells accidents apart, not attackers.
#pragma once

#include <xxhash.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

namespace tandem {

inline std::string HexOf(XXH128_hash_t hash) {
  char hex[33];
  std::snprintf(hex, sizeof hex, "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return hex;
}

inline std::string Digest(std::string_view bytes) { return HexOf(XXH3_128bits(bytes.data(), bytes.size())); }

// The Digest of bytes that come piece by piece.
class RunningDigest {
 public:
  RunningDigest() : state_(XXH3_createState()) { XXH3_128bits_reset(state_.get()); }
  void Add(std::string_view bytes) { XXH3_128bits_update(state_.get(), bytes.data(), bytes.size()); }
  std::string Hex() const { return HexOf(XXH3_128bits_digest(state_.get())); }

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> state_;
};

// A 64-bit hash that is the same on every machine and in every build.
inline uint64_t StableHash(std::string_view bytes, uint64_t seed = 0) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

}  // namespace tandem
