// The model section of a configuration as the shape that policy/ works with.
#pragma once

#include <cstdint>

#include "policy/model_config.h"
#include "proto/config.pb.h"

namespace tandem {

inline ModelConfig TrainerModelShape(const proto::ModelConfig& model, int64_t vocabulary) {
  return {.vocabulary = vocabulary,
          .hidden = model.hidden(),
          .layers = model.layers(),
          .heads = model.heads(),
          .kv_heads = model.kv_heads(),
          .intermediate = model.intermediate(),
          .context = model.context(),
          .rope_theta = model.rope_theta(),
          .norm_epsilon = model.norm_epsilon(),
          .tied_head = model.tied_head()};
}

}  // namespace tandem
