#include "exchange/lag.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/random.h"
#include "base/status.h"

namespace tandem {
namespace {

absl::Status CheckKinds(const proto::LagConfig& config, const std::string& key) {
  const int kinds = config.has_constant() + (config.uniform_size() > 0) + config.has_heavy_tail() + config.has_trace();
  if (kinds == 1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(key, ": expected exactly one of constant, uniform, heavy_tail and trace, found ", kinds));
}

absl::Status BeyondBound(const std::string& where, uint32_t lag, uint32_t bound) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": a lag of ", lag, " is beyond the bound: staleness.bound is ",
                                                 bound, ", and nothing older is trained on"));
}

// One group a line, "LAG" or "LAG THEN".
absl::StatusOr<std::vector<Lag>> ReadTrace(const proto::LagConfig& config, uint32_t bound, std::string_view text,
                                           uint64_t needed) {
  std::vector<Lag> trace;
  const size_t columns = config.has_switch_at() ? 2 : 1;
  for (const absl::string_view line :
       absl::StrSplit(absl::string_view(text.data(), text.size()), '\n', absl::SkipWhitespace())) {
    const std::string where = absl::StrCat(config.trace(), ":", trace.size() + 1);
    const std::vector<absl::string_view> words = absl::StrSplit(line, absl::ByAnyChar(" \t\r,"), absl::SkipEmpty());
    uint32_t lags[2] = {0, 0};
    bool good = words.size() == columns;
    for (size_t i = 0; good && i < columns; ++i) good = absl::SimpleAtoi(words[i], &lags[i]);
    if (!good) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ": expected ", columns, columns == 1 ? " lag" : " lags", ", found ", line));
    }
    if (std::max(lags[0], lags[1]) > bound) return BeyondBound(where, std::max(lags[0], lags[1]), bound);
    trace.push_back({lags[0], std::min(lags[0], lags[1]), config.switch_at()});
  }
  if (trace.size() < needed) {
    return absl::InvalidArgumentError(
        absl::StrCat(config.trace(), ": the trace ends after ", trace.size(), " groups; the run trains on ", needed));
  }
  return trace;
}

}  // namespace

LagModel::LagModel(const proto::LagConfig& config, const std::string& policy, uint32_t bound, uint32_t seed)
    : config_(config), bound_(bound), key_(MixKey(MixKey(seed, StableHash("lag")), StableHash(policy))) {}

absl::StatusOr<LagModel> LagModel::Create(const proto::LagConfig& config, const std::string& policy, uint32_t bound,
                                          uint32_t seed, std::string_view trace, uint64_t needed) {
  const std::string key = absl::StrCat("lag.", policy);
  TANDEM_RETURN_IF_ERROR(CheckKinds(config, key));
  if (config.constant() > bound) return BeyondBound(key + ".constant", config.constant(), bound);
  if (config.uniform_size() == 2) {
    if (config.uniform(0) > config.uniform(1)) {
      return absl::InvalidArgumentError(absl::StrCat(key, ".uniform: expected [LEAST, MOST], found [",
                                                     config.uniform(0), ", ", config.uniform(1), "]"));
    }
    if (config.uniform(1) > bound) return BeyondBound(key + ".uniform", config.uniform(1), bound);
  }
  if (config.has_constant() && config.has_switch_at()) {
    return absl::InvalidArgumentError(
        absl::StrCat(key, ".switch_at: has no effect with constant: the lag that it draws anew is the same"));
  }
  LagModel model(config, policy, bound, seed);
  if (config.has_trace()) {
    TANDEM_ASSIGN_OR_RETURN(model.trace_, ReadTrace(config, bound, trace, needed));
  }
  return model;
}

Lag LagModel::Draw(uint64_t slot) const {
  if (config_.has_trace()) return trace_[slot];
  const uint64_t key = MixKey(key_, slot);
  Lag lag;
  lag.first = DrawOne(MixKey(key, 0));
  lag.switch_at = config_.switch_at();
  if (lag.switch_at > 0) lag.then = std::min(lag.first, DrawOne(MixKey(key, 1)));
  return lag;
}

uint32_t LagModel::DrawOne(uint64_t key) const {
  RandomStream random(key);
  if (config_.uniform_size() == 2) {
    const uint64_t values = uint64_t{config_.uniform(1)} - config_.uniform(0) + 1;
    return config_.uniform(0) + static_cast<uint32_t>(random.Below(values));
  }
  if (config_.has_heavy_tail()) {
    // Pareto: P(lag > x) = (least / x)^alpha; the median is least * 2^(1 / alpha).
    const proto::HeavyTailConfig& tail = config_.heavy_tail();
    const double lag = tail.median() * std::pow(2 * (1 - random.Uniform()), -1 / tail.alpha());
    return static_cast<uint32_t>(std::min<double>(lag, bound_));
  }
  return config_.constant();
}

absl::StatusOr<LagModels> MakeLagModels(const proto::Config& config, const std::string& folder) {
  LagModels models;
  const uint64_t needed = uint64_t{config.train().steps()} * config.train().groups_per_step();
  for (const auto& [policy, lag] : config.lag()) {
    const auto found = config.policies().find(policy);
    if (found == config.policies().end()) {
      return absl::InvalidArgumentError(absl::StrCat("lag.", policy, ": there is no policy ", policy));
    }
    std::string trace;
    if (lag.has_trace()) {
      const bool absolute = lag.trace().starts_with('/');
      TANDEM_ASSIGN_OR_RETURN(trace, ReadFile(absolute ? lag.trace() : absl::StrCat(folder, "/", lag.trace())));
    }
    TANDEM_ASSIGN_OR_RETURN(
        LagModel model, LagModel::Create(lag, policy, found->second.staleness().bound(), config.seed(), trace, needed));
    models.emplace(policy, std::move(model));
  }
  return models;
}

uint32_t MostLag(const proto::LagConfig& config, uint32_t bound) {
  if (config.has_constant()) return config.constant();
  if (config.uniform_size() == 2) return config.uniform(1);
  return bound;
}

}  // namespace tandem
