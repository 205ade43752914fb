// Which slots hold the cache of which prompt, so that turns that ask the same (the episodes of a group, a step that
// comes up again) read it in once. Only prompts that one version alone has read in count, and only for it: what is
// copied is bit for bit what the turn would have computed itself.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace tandem {

class PromptCache {
 public:
  explicit PromptCache(int64_t slots) : entries_(slots) {}

  enum class State { kUnknown, kBeingRead, kReady };
  struct Found {
    State state;
    int32_t slot;  // of kReady
  };
  // All tokens but the last, which has to run to give the first output, are what counts as the prompt's cache.
  // `hash`: PromptHash(prompt, version).
  Found Find(std::span<const int32_t> prompt, uint64_t hash) const;

  // `slot` starts to read in `prompt`, which is kUnknown.
  void Begin(std::span<const int32_t> prompt, uint64_t hash, int32_t slot);
  // `slot` has read in its prompt. Nothing happens if it was forgotten since.
  void Complete(int32_t slot);
  // `slot` is used for something else.
  void Forget(int32_t slot);

 private:
  struct Entry {
    State state = State::kUnknown;
    uint64_t hash = 0;
    std::vector<int32_t> prompt;
  };
  std::vector<Entry> entries_;                        // [slots]
  absl::flat_hash_map<uint64_t, int32_t> by_prompt_;  // hash to slot
};

uint64_t PromptHash(std::span<const int32_t> prompt, uint32_t incarnation, uint32_t number);

}  // namespace tandem
