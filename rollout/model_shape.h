// From a configuration to the shape of a model.
#pragma once

#include "policy/model_config.h"
#include "proto/config.pb.h"

namespace tandem {

inline ModelConfig ModelShape(const proto::ModelConfig& config, int64_t vocabulary) {
  ModelConfig shape;
  shape.vocabulary = vocabulary;
  shape.hidden = config.hidden();
  shape.layers = config.layers();
  shape.heads = config.heads();
  shape.kv_heads = config.kv_heads();
  shape.intermediate = config.intermediate();
  shape.context = config.context();
  shape.rope_theta = config.rope_theta();
  shape.norm_epsilon = config.norm_epsilon();
  shape.tied_head = config.tied_head();
  return shape;
}

}  // namespace tandem
