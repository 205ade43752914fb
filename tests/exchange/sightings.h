// What happened in schedules, counted: so that it is seen whether they exercise what they are meant to.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tandem {

enum Sight : size_t {
  kWorkerDied,
  kWorkerCutOff,
  kReissued,
  kRepeated,
  kDuplicate,
  kUnheard,
  kMixed,
  kStalled,
  kTrainerDied,
  kPastBatch,
  kExchangeDied,
  kNonFinite,
  kDropped,
  kRerun,
  kGivenUp,
  kMasked,
  kAccepted,
  kStale,
  kDrift,
  kSights,
};

// Those that the exchange speaks of have the names that it gives them in metrics and receipts.
inline constexpr std::string_view kSightNames[kSights] = {
    "worker died",     // and came back with nothing
    "worker cut off",  // believed dead; came back with what it has
    "ticket issued again",
    "group submitted again",
    "duplicate",
    "announcement unheard",
    "turn of two versions",
    "step stalled",
    "trainer died",
    "past batch asked for",
    "exchange died",
    "non_finite",
    "dropped",
    "rerun",
    "given_up",
    "masked",
    "accepted",
    "stale",
    "drift",
};

using Sightings = std::array<uint64_t, kSights>;

inline void Saw(Sightings* seen, std::string_view name) {
  for (size_t sight = 0; sight < kSights; ++sight) (*seen)[sight] += kSightNames[sight] == name;
}

}  // namespace tandem
