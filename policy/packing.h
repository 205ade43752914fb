// How the sequences of a pass are laid out for the forward pass: cut into chunks, with the indices that the operations
// need.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "policy/model.h"
#include "policy/model_config.h"

namespace tandem {

// Whole sequences that go through the layers together. All index tensors are int64 and on the model's device.
struct Chunk {
  std::vector<int32_t> lengths;
  at::Tensor ids;         // [tokens]
  at::Tensor positions;   // [tokens] within the sequence; on a GPU only
  at::Tensor pad;         // [sequences * longest] token at each padded place (token 0 where there is none); GPU only
  at::Tensor unpad;       // [tokens] padded place of each token; GPU only
  at::Tensor rows;        // [targets] token whose output predicts the target: the one before it
  at::Tensor target_ids;  // [targets]
  int64_t tokens = 0;
  int64_t longest = 0;
};

struct PackedLayout {
  std::vector<Chunk> chunks;  // the targets of the chunks, one after the other, are in ascending order
  at::Tensor order;           // [targets] place of each target of the caller's list in that order; undefined: the same
};

// `tokens_per_chunk`: a chunk takes whole sequences until it has so many tokens; 0 takes all. `padded`: fill in the
// indices that only a GPU needs. Ids outside of the vocabulary, sequences longer than the context, lengths that do not
// add up and first tokens as targets are bugs of the caller.
PackedLayout LayOut(const PackedSequences& sequences, const ModelConfig& config, int64_t tokens_per_chunk, bool padded,
                    at::Device device);

}  // namespace tandem
