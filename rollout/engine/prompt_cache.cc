#include "rollout/engine/prompt_cache.h"

#include <algorithm>

#include "base/digest.h"
#include "base/random.h"

namespace tandem {

uint64_t PromptHash(std::span<const int32_t> prompt, uint32_t incarnation, uint32_t number) {
  const uint64_t of_prompt = StableHash({reinterpret_cast<const char*>(prompt.data()), prompt.size_bytes()});
  return MixKey(MixKey(of_prompt, incarnation), number);
}

PromptCache::Found PromptCache::Find(std::span<const int32_t> prompt, uint64_t hash) const {
  const auto found = by_prompt_.find(hash);
  if (found == by_prompt_.end()) return {State::kUnknown, -1};
  const Entry& entry = entries_[found->second];
  if (!std::ranges::equal(entry.prompt, prompt)) return {State::kUnknown, -1};  // another prompt of the same hash
  return {entry.state, found->second};
}

void PromptCache::Begin(std::span<const int32_t> prompt, uint64_t hash, int32_t slot) {
  if (!by_prompt_.try_emplace(hash, slot).second)
    return;  // the hash is taken by another prompt: this one is not shared
  entries_[slot].state = State::kBeingRead;
  entries_[slot].hash = hash;
  entries_[slot].prompt.assign(prompt.begin(), prompt.end());
}

void PromptCache::Complete(int32_t slot) {
  if (entries_[slot].state == State::kBeingRead) entries_[slot].state = State::kReady;
}

void PromptCache::Forget(int32_t slot) {
  if (entries_[slot].state == State::kUnknown) return;
  by_prompt_.erase(entries_[slot].hash);
  entries_[slot].state = State::kUnknown;
}

}  // namespace tandem
