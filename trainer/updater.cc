#include "trainer/updater.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/digest.h"
#include "base/random.h"
#include "base/status.h"
#include "policy/torch_status.h"
#include "trainer/advantages.h"

namespace tandem {
namespace {

// Passes of this size run fastest: on the CPU activations stay in the caches, on a GPU the kernels are large enough.
constexpr int64_t kTokensPerPassOnCpu = 2048, kTokensPerPassOnGpu = 65536;

template <typename T>
at::Tensor ToDevice(const std::vector<T>& values, const at::Device& device) {
  return at::tensor(at::ArrayRef<T>(values), c10::CppTypeToScalarType<T>::value).to(device);
}

std::vector<float> ToVector(const at::Tensor& tensor) {
  const at::Tensor cpu = tensor.detach().to(at::kCPU).contiguous();
  const float* data = cpu.const_data_ptr<float>();
  return {data, data + cpu.numel()};
}

at::Tensor ToTensor(const std::vector<float>& values) { return at::tensor(at::ArrayRef<float>(values), at::kFloat); }

// In the warm start every turn is learned from.
Advantages AllTurns(std::span<const TrainingTurn> turns) {
  Advantages all{.values = std::vector<float>(turns.size(), 0), .group = {}, .groups_without_variance = 0};
  for (const TrainingTurn& turn : turns) {
    all.group.push_back(turn.masked || turn.unmasked() == 0 ? Advantages::kLeftOut : 0);
  }
  return all;
}

int64_t TokensOf(std::span<const TrainingTurn> turns, std::span<const int64_t> group) {
  int64_t tokens = 0;
  for (size_t i = 0; i < turns.size(); ++i) tokens += group[i] >= 0 ? turns[i].length() : 0;
  return tokens;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Updater>> Updater::Create(UpdaterOptions options, Collective& collective) {
  if (options.tokens_per_pass == 0) {
    options.tokens_per_pass = options.device == "cuda" ? kTokensPerPassOnGpu : kTokensPerPassOnCpu;
  }
  std::unique_ptr<Updater> u(new Updater(std::move(options), collective));
  const proto::PolicyConfig& config = u->options_.config;
  TANDEM_ASSIGN_OR_RETURN(u->loss_, FindLoss(config.loss().name()));
  const bool bf16 = config.precision() == proto::BF16 && u->options_.device == "cuda";
  TANDEM_ASSIGN_OR_RETURN(u->model_, Model::Create(u->options_.shape, u->options_.device, bf16));
  const proto::OptimizerConfig& adam = config.optimizer();
  u->train_schedule_ = {adam.learning_rate(), adam.warmup_steps(), adam.final_fraction(), u->options_.train_steps};
  u->sft_schedule_ = {config.sft().learning_rate(), config.sft().warmup_steps(), config.sft().final_fraction(),
                      u->options_.sft_steps};
  TANDEM_RETURN_IF_ERROR(TorchStatus([&]() -> absl::Status {
    TANDEM_RETURN_IF_ERROR(u->SetFirstWeights());
    u->optimizer_ = std::make_unique<AdamW>(
        u->model_->flat(), AdamWOptions{adam.beta1(), adam.beta2(), adam.epsilon(), adam.weight_decay()});
    return absl::OkStatus();
  }));
  return u;
}

absl::Status Updater::SetFirstWeights() {
  if (options_.start == nullptr) {
    model_->Initialise(MixKey(options_.seed, StableHash(options_.policy)), options_.config.model().embedding_std());
    return absl::OkStatus();
  }
  const at::NoGradGuard no_grad;
  at::Tensor weights = model_->flat().is_cpu() ? model_->flat() : at::empty({model_->flat().numel()}, at::kFloat);
  TANDEM_RETURN_IF_ERROR(
      ReadWeights(*options_.start, {weights.mutable_data_ptr<float>(), static_cast<size_t>(weights.numel())}));
  if (!model_->flat().is_cpu()) model_->flat().copy_(weights);
  return absl::OkStatus();
}

absl::Status Updater::BeginReinforcement() {
  return TorchStatus([&]() -> absl::Status {
    optimizer_->Reset();
    return options_.config.loss().kl_coefficient() > 0 ? MakeReference(model_->flat()) : absl::OkStatus();
  });
}

absl::StatusOr<StepResult> Updater::Step(const TrainingBatch& batch) {
  absl::StatusOr<StepResult> result = absl::InternalError("not run");
  TANDEM_RETURN_IF_ERROR(TorchStatus([&] { result = TakeStep(batch); }));
  return result;
}

absl::StatusOr<StepResult> Updater::TakeStep(const TrainingBatch& batch) {
  const bool supervised = batch.header.purpose() == proto::SFT;
  const uint32_t step = batch.header.step();
  TANDEM_ASSIGN_OR_RETURN(const UnpackedBatch unpacked, Unpack(batch, options_.policy, options_.shape));
  const proto::StalenessConfig& staleness = options_.config.staleness();
  const bool bounded = !supervised && staleness.on_limit() != proto::ACCEPT;
  if (bounded) TANDEM_RETURN_IF_ERROR(CheckStaleness(unpacked, staleness.bound()));

  const Advantages advantages =
      supervised ? AllTurns(unpacked.turns) : GroupAdvantages(unpacked.turns, options_.config.advantage());
  const std::vector<Minibatch> minibatches =
      SplitTurns(unpacked.turns, advantages.values, advantages.group,
                 {.minibatches = supervised ? 1 : options_.config.loss().minibatches(),
                  .key = MixKey(MixKey(options_.seed, StableHash(options_.policy)), step),
                  .rank = collective_.rank(),
                  .ranks = collective_.size(),
                  .tokens_per_pass = options_.tokens_per_pass});
  const double learning_rate = (supervised ? sft_schedule_ : train_schedule_).At(step);
  StepResult result;
  result.tokens = TokensOf(unpacked.turns, advantages.group);
  StepTally tally;

  // What the weights at the start of the step say of the later minibatches; the first is scored with them anyway.
  std::vector<std::vector<at::Tensor>> proximal(minibatches.size());
  for (size_t m = 1; m < minibatches.size(); ++m) proximal[m] = Rescore(minibatches[m]);
  at::Tensor old_weights;
  AdamW::State old_moments;
  if (minibatches.size() > 1) {
    old_weights = model_->flat().clone();
    old_moments = optimizer_->Save();
  }

  for (size_t m = 0; m < minibatches.size() && result.accepted; ++m) {
    double norm = 0;
    TANDEM_ASSIGN_OR_RETURN(const bool finite, ComputeGradient(minibatches[m], proximal[m], supervised, tally, norm));
    if (finite) {
      Move(norm, learning_rate);
    } else {
      result.accepted = false;
      result.why = absl::StrCat("loss or gradient of minibatch ", m + 1, " of ", minibatches.size(), " is not finite");
      const at::NoGradGuard no_grad;
      if (m > 0) model_->flat().copy_(old_weights);
      if (m > 0) optimizer_->Restore(old_moments);
    }
  }

  TANDEM_RETURN_IF_ERROR(tally.Reduce(collective_, options_.device));
  proto::StepMetrics& metrics = result.metrics;
  metrics.set_policy(options_.policy);
  metrics.set_step(step + 1);
  metrics.set_version(supervised ? 0 : step + (result.accepted ? 1 : 0));
  metrics.set_learning_rate(learning_rate);
  metrics.set_staleness_bound(supervised ? 0 : options_.config.staleness().bound());
  metrics.set_groups_without_variance(advantages.groups_without_variance);
  FillBatchMetrics(unpacked, advantages.group, metrics);
  tally.Fill(metrics);
  return result;
}

std::vector<at::Tensor> Updater::Rescore(const Minibatch& minibatch) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> logprobs;
  for (const Pass& pass : minibatch.passes) logprobs.push_back(model_->Score(pass.sequences).logprobs);
  return logprobs;
}

absl::StatusOr<bool> Updater::ComputeGradient(const Minibatch& minibatch, const std::vector<at::Tensor>& proximal,
                                              bool supervised, StepTally& tally, double& norm) {
  const LossFunction function = supervised ? &NegativeLogLikelihood : loss_.function;
  const at::Tensor gradient = model_->grad();
  gradient.zero_();
  bool finite = true;
  for (size_t p = 0; p < minibatch.passes.size(); ++p) {
    const Pass& pass = minibatch.passes[p];
    const TokenScores scores = model_->Score(pass.sequences);
    const at::Tensor start = proximal.empty() ? scores.logprobs.detach() : proximal[p];
    const LossOutput out = function(MakeLossInput(pass, scores, start, minibatch.token_count), options_.config.loss());
    out.loss.backward();
    finite = finite && std::isfinite(out.loss.item<double>());
    tally.Add(pass, out, scores.entropy, supervised ? at::Tensor() : start);
  }
  TANDEM_RETURN_IF_ERROR(collective_.AllReduceSum(gradient));
  norm = GradientNorm(gradient);
  tally.AddGradientNorm(norm);
  // Decided by all ranks together before anything moves: a rank that went on alone would make another version.
  TANDEM_ASSIGN_OR_RETURN(const bool broken, AnyRank(collective_, !finite || !std::isfinite(norm), options_.device));
  return !broken;
}

LossInput Updater::MakeLossInput(const Pass& pass, const TokenScores& scores, const at::Tensor& proximal,
                                 double token_count) {
  const at::Device device = scores.logprobs.device();
  LossInput input{.new_logprobs = scores.logprobs,
                  .behaviour_logprobs = ToDevice(pass.behaviour, device),
                  .proximal_logprobs = proximal,
                  .reference_logprobs = {},
                  .advantages = ToDevice(pass.advantages, device),
                  .mask = at::ones_like(proximal),
                  .ages = ToDevice(pass.ages, device),
                  .sequence = ToDevice(pass.turn, device),
                  .advantage_group = ToDevice(pass.advantage_group, device),
                  .token_count = token_count};
  if (reference_ != nullptr) {
    const at::NoGradGuard no_grad;
    input.reference_logprobs = reference_->Score(pass.sequences).logprobs;
  }
  return input;
}

void Updater::Move(double norm, double learning_rate) {
  const double clip = options_.config.optimizer().gradient_clip();
  optimizer_->Update(model_->flat(), model_->grad(), learning_rate, clip > 0 && norm > clip ? clip / norm : 1);
}

absl::Status Updater::MakeReference(const at::Tensor& weights) {
  const at::NoGradGuard no_grad;
  if (reference_ == nullptr) {
    const bool bf16 = options_.config.precision() == proto::BF16 && options_.device == "cuda";
    TANDEM_ASSIGN_OR_RETURN(reference_, Model::Create(options_.shape, options_.device, bf16));
  }
  reference_->flat().copy_(weights);
  return absl::OkStatus();
}

absl::StatusOr<UpdaterState> Updater::Save() {
  return TorchStatus([&] {
    const AdamW::State moments = optimizer_->Save();
    UpdaterState state{.weights = ToVector(model_->flat()),
                       .first = ToVector(moments.first),
                       .second = ToVector(moments.second),
                       .reference = {},
                       .updates = moments.updates};
    if (reference_ != nullptr) state.reference = ToVector(reference_->flat());
    return state;
  });
}

absl::Status Updater::Restore(const UpdaterState& state) {
  const auto parameters = static_cast<size_t>(ParameterCount(options_.shape));
  for (const auto* part : {&state.weights, &state.first, &state.second}) {
    if (part->size() != parameters) {
      return absl::InvalidArgumentError(
          absl::StrCat("state of ", options_.policy, ": ", part->size(), " parameters, the model has ", parameters));
    }
  }
  return TorchStatus([&]() -> absl::Status {
    const at::NoGradGuard no_grad;
    model_->flat().copy_(ToTensor(state.weights));
    optimizer_->Restore({ToTensor(state.first), ToTensor(state.second), state.updates});
    if (state.reference.size() == parameters) return MakeReference(ToTensor(state.reference));
    return absl::OkStatus();
  });
}

absl::StatusOr<std::string> Updater::WeightBytes() {
  return TorchStatus([&] {
    const std::vector<float> weights = ToVector(model_->flat());
    return std::string(reinterpret_cast<const char*>(weights.data()), weights.size() * sizeof(float));
  });
}

}  // namespace tandem
