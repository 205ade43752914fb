// The ids of words met before.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace tandem {

// Holds short words only, a cache line each, in a table of fixed size: of two places that a word may have, the one used
// longer ago is given up. For one thread.
class WordCache {
 public:
  static constexpr size_t kLongestWord = 23;  // bytes
  static constexpr size_t kMostIds = 9;

  WordCache() : entries_(kEntries) {}

  // A word as it is kept: its bytes, zeros, and its length.
  struct Key {
    uint64_t part[3];
    bool operator==(const Key&) const = default;
  };
  // Of at most kLongestWord bytes.
  static Key KeyOf(std::string_view word) {
    char bytes[sizeof(Key)] = {};
    std::memcpy(bytes, word.data(), word.size());
    bytes[kLongestWord] = static_cast<char>(word.size());
    return std::bit_cast<Key>(bytes);
  }

  // Empty when the word is not known. Good until the next call of Keep.
  std::span<const int32_t> Find(const Key& key) const {
    const size_t home = Home(key);
    for (const size_t at : {home, home ^ 1}) {
      const Entry& entry = entries_[at];
      if (entry.key == key) return {entry.ids, entry.count};
    }
    return {};
  }
  // Does nothing with more ids than it has room for.
  void Keep(const Key& key, std::span<const int32_t> ids) {
    if (ids.size() > kMostIds) return;
    Entry& entry = entries_[Home(key)];
    entries_[Home(key) ^ 1] = entry;
    entry.key = key;
    entry.count = static_cast<uint32_t>(ids.size());
    std::copy(ids.begin(), ids.end(), entry.ids);
  }

 private:
  static constexpr size_t kEntries = 1 << 14;  // a megabyte
  struct alignas(64) Entry {
    Key key = {};
    uint32_t count = 0;
    int32_t ids[kMostIds] = {};
  };
  static_assert(sizeof(Entry) == 64);

  static size_t Home(const Key& key) {
    uint64_t hash = key.part[0] * 0x9E3779B97F4A7C15u;
    hash = (hash ^ hash >> 32 ^ key.part[1]) * 0xC2B2AE3D27D4EB4Fu;
    hash = (hash ^ hash >> 32 ^ key.part[2]) * 0x165667B19E3779F9u;
    return static_cast<size_t>(hash >> 50);
  }

  std::vector<Entry> entries_;
};

}  // namespace tandem
