// A checkpoint holds an updater's state: one into the other.
#pragma once

#include <string>
#include <utility>

#include "base/status.h"
#include "trainer/checkpoint.h"
#include "trainer/updater.h"

namespace tandem {

inline UpdaterState StateOf(Checkpoint checkpoint) {
  return {.weights = std::move(checkpoint.weights),
          .first = std::move(checkpoint.first),
          .second = std::move(checkpoint.second),
          .reference = std::move(checkpoint.reference),
          .updates = checkpoint.updates};
}

// Of the state that the updater is in now.
inline absl::StatusOr<Checkpoint> CheckpointOf(Updater& updater, const CheckpointName& name) {
  TANDEM_ASSIGN_OR_RETURN(UpdaterState state, updater.Save());
  return Checkpoint{.policy = updater.options().policy,
                    .name = name,
                    .shape = updater.options().shape,
                    .weights = std::move(state.weights),
                    .first = std::move(state.first),
                    .second = std::move(state.second),
                    .reference = std::move(state.reference),
                    .updates = state.updates,
                    .companions = {}};
}

}  // namespace tandem
