#include "policy/files/hf_rope.h"

#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem {
namespace {

constexpr double kDefaultTheta = 10000, kMostTheta = 1e12, kMostFactor = 1e6;
constexpr int64_t kMostOriginalContext = int64_t{1} << 24;

struct Rope {
  double theta = kDefaultTheta;
  std::optional<RopeScaling> scaling;
  bool operator==(const Rope&) const = default;
};

absl::StatusOr<RopeScaling> ReadLlama3(const JsonFields& fields) {
  RopeScaling scaling;
  TANDEM_ASSIGN_OR_RETURN(scaling.factor, fields.Number("factor", {}, 1, kMostFactor));
  TANDEM_ASSIGN_OR_RETURN(scaling.low_frequency_factor,
                          fields.Number("low_freq_factor", {}, 1 / kMostFactor, kMostFactor));
  TANDEM_ASSIGN_OR_RETURN(scaling.high_frequency_factor,
                          fields.Number("high_freq_factor", {}, 1 / kMostFactor, kMostFactor));
  if (scaling.high_frequency_factor <= scaling.low_frequency_factor) {
    return fields.Bad("high_freq_factor",
                      absl::StrCat("more than low_freq_factor, which is ", scaling.low_frequency_factor));
  }
  TANDEM_ASSIGN_OR_RETURN(scaling.original_context,
                          fields.Whole("original_max_position_embeddings", {}, 1, kMostOriginalContext));
  return scaling;
}

absl::Status CheckWholeHead(const JsonFields& fields) {
  TANDEM_ASSIGN_OR_RETURN(const double part, fields.Number("partial_rotary_factor", 1, 0, 1));
  return part == 1 ? absl::OkStatus() : fields.Bad("partial_rotary_factor", "1: all of a head is turned");
}

// What the object `key` says; `theta` where it does not say it.
absl::StatusOr<Rope> ReadParameters(const JsonFields& config, const char* key, double theta) {
  TANDEM_ASSIGN_OR_RETURN(const JsonFields fields, config.Object(key));
  for (const auto& value : config.At(key)) {
    if (value.is_structured()) return config.Bad(key, "one set of parameters for all layers");
  }
  TANDEM_RETURN_IF_ERROR(CheckWholeHead(fields));
  const char* type_key = fields.Has("rope_type") || !fields.Has("type") ? "rope_type" : "type";
  // Nothing says how a factor without a type is meant.
  const auto fallback = fields.Has("factor") ? std::nullopt : std::optional<std::string>("default");
  TANDEM_ASSIGN_OR_RETURN(const std::string type, fields.Text(type_key, fallback));
  Rope rope;
  TANDEM_ASSIGN_OR_RETURN(rope.theta, fields.Number("rope_theta", theta, 1, kMostTheta));
  // Readers differ in which of two spellings they believe: here, and below.
  if (config.Has("rope_theta") && rope.theta != theta) {
    return fields.Bad("rope_theta", absl::StrCat(theta, ", as rope_theta says"));
  }
  if (type == "llama3") {
    TANDEM_ASSIGN_OR_RETURN(rope.scaling, ReadLlama3(fields));
  } else if (type != "default") {
    return fields.Bad(type_key, "\"default\" or \"llama3\"");
  }
  return rope;
}

}  // namespace

absl::Status ReadRope(const JsonFields& config, ModelConfig& shape) {
  TANDEM_RETURN_IF_ERROR(CheckWholeHead(config));
  // transformers 5 lets this one overrule the parameters' own, and nothing else reads it.
  if (config.Has("original_max_position_embeddings")) {
    return config.Bad("original_max_position_embeddings", "it within rope_scaling or rope_parameters");
  }
  const bool has_scaling = config.Has("rope_scaling");
  Rope rope;
  TANDEM_ASSIGN_OR_RETURN(rope.theta, config.Number("rope_theta", kDefaultTheta, 1, kMostTheta));
  if (has_scaling) {
    TANDEM_ASSIGN_OR_RETURN(rope, ReadParameters(config, "rope_scaling", rope.theta));
  }
  if (config.Has("rope_parameters")) {
    TANDEM_ASSIGN_OR_RETURN(const Rope newer, ReadParameters(config, "rope_parameters", rope.theta));
    if (has_scaling && newer != rope) return config.Bad("rope_parameters", "the same as rope_scaling says");
    rope = newer;
  }
  shape.rope_theta = rope.theta;
  shape.rope_scaling = rope.scaling;
  return absl::OkStatus();
}

void WriteRope(const ModelConfig& shape, nlohmann::json& config) {
  nlohmann::json parameters = {{"rope_type", "default"}};
  config["rope_scaling"] = nullptr;
  if (shape.rope_scaling) {
    parameters = {{"rope_type", "llama3"},
                  {"factor", shape.rope_scaling->factor},
                  {"low_freq_factor", shape.rope_scaling->low_frequency_factor},
                  {"high_freq_factor", shape.rope_scaling->high_frequency_factor},
                  {"original_max_position_embeddings", shape.rope_scaling->original_context}};
    config["rope_scaling"] = parameters;
  }
  parameters["rope_theta"] = shape.rope_theta;
  config["rope_theta"] = shape.rope_theta;
  config["rope_parameters"] = parameters;
}

}  // namespace tandem
