// The differentiable forward pass of a policy, over ATen.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/model_config.h"

namespace tandem {

// Sequences packed one after the other: no padding in the linear layers, and none in the loss.
struct PackedSequences {
  std::vector<int32_t> ids;      // all tokens of all sequences
  std::vector<int32_t> lengths;  // tokens of each sequence
  std::vector<int32_t>
      targets;  // indices into `ids` of the tokens whose log-probability is wanted; never a first token
};

struct TokenScores {
  at::Tensor logprobs;  // [targets] log-probability of each target given the tokens before it; differentiable
  at::Tensor entropy;   // [targets] of the distribution that the target was drawn from, in nats; no gradient
};

// Weights, gradients and forward pass of one policy. The parameters are views of one flat float32 tensor, in
// ParameterLayout's order, and so are their gradients: an optimizer, an all-reduce and a publication work on flat(),
// grad().
class Model {
 public:
  // Weights are zero until Initialise or flat().copy_. `device`: "cpu" or "cuda". bf16: the linear layers and attention
  // run in bf16, weights, norms, residual stream and log-probabilities stay float32. `trains` false: Score keeps no
  // graph, grad() is undefined, and so is what the weights are at first: their memory has not been touched.
  // kInvalidArgument: an impossible shape; kUnavailable: no such device.
  static absl::StatusOr<std::unique_ptr<Model>> Create(const ModelConfig& config, const std::string& device, bool bf16,
                                                       bool trains = true);
  virtual ~Model() = default;

  virtual const ModelConfig& config() const = 0;

  // Initial weights that depend on the seed alone, bit for bit on any machine: embedding of standard deviation
  // `embedding_std`, linear layers 1/sqrt(in), those that write into the residual stream divided by sqrt(2 layers) as
  // well, norms 1. Close to normal: each is a sum of eight uniform numbers.
  virtual void Initialise(uint64_t seed, double embedding_std) = 0;

  virtual at::Tensor flat() = 0;  // [parameters] float32; writing into it changes the model
  virtual at::Tensor grad() = 0;  // [parameters] float32; backward() adds to it, the caller zeroes it

  // With at::NoGradGuard in force no graph is kept. A sequence's scores depend on the other sequences only through the
  // rounding of matrix products. Ids out of range, sequences longer than the context and lengths that do not add up are
  // bugs of the caller. Throws what torch throws (see policy/torch_status.h).
  virtual TokenScores Score(const PackedSequences& sequences) = 0;
};

}  // namespace tandem
