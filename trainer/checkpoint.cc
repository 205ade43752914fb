#include "trainer/checkpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/status.h"
#include "policy/files/weights.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string ModelFile(const std::string& folder) { return folder + "/model.safetensors"; }
std::string OptimizerFile(const std::string& folder) { return folder + "/optimizer.state"; }
std::string StateFile(const std::string& folder) { return folder + "/state.json"; }

std::string DigestOf(const std::vector<float>& weights) {
  return Digest(std::string_view(reinterpret_cast<const char*>(weights.data()), weights.size() * sizeof(float)));
}

// Of all that optimizer.state holds.
std::string OptimizerDigest(const Checkpoint& c) {
  return absl::StrCat(DigestOf(c.first), DigestOf(c.second), c.reference.empty() ? "" : DigestOf(c.reference));
}

// The one list of a shape's fields: written, read and compared by it.
template <typename Config, typename Visit>
void EachField(Config& c, const Visit& visit) {
  visit("vocabulary", c.vocabulary);
  visit("hidden", c.hidden);
  visit("layers", c.layers);
  visit("heads", c.heads);
  visit("kv_heads", c.kv_heads);
  visit("intermediate", c.intermediate);
  visit("context", c.context);
  visit("rope_theta", c.rope_theta);
  visit("norm_epsilon", c.norm_epsilon);
  visit("tied_head", c.tied_head);
  visit("head_dim", c.head_dim);
  visit("qkv_bias", c.qkv_bias);
  visit("output_bias", c.output_bias);
  visit("mlp_bias", c.mlp_bias);
  visit("qk_norm", c.qk_norm);
}

json RopeScalingToJson(const std::optional<RopeScaling>& scaling) {
  if (!scaling) return nullptr;
  return {scaling->factor, scaling->low_frequency_factor, scaling->high_frequency_factor, scaling->original_context};
}

std::optional<RopeScaling> RopeScalingOf(const json& list) {
  if (list.is_null()) return std::nullopt;
  return RopeScaling{list.at(0), list.at(1), list.at(2), list.at(3)};
}

json ShapeToJson(const ModelConfig& shape) {
  json out;
  EachField(shape, [&](const char* name, const auto& value) { out[name] = value; });
  out["rope_scaling"] = RopeScalingToJson(shape.rope_scaling);
  return out;
}

absl::Status CompareShapes(const std::string& file, const ModelConfig& found, const ModelConfig& expected) {
  const json have = ShapeToJson(found), want = ShapeToJson(expected);
  for (const auto& [name, value] : want.items()) {
    if (have[name] != value) {
      return absl::InvalidArgumentError(absl::StrCat(file, ": ", name, " of the model is ", have[name].dump(),
                                                     ", the configuration says ", value.dump()));
    }
  }
  return absl::OkStatus();
}

std::string StateText(const Checkpoint& c) {
  const json state = {{"format", kCheckpointFormat},
                      {"policy", c.policy},
                      {"purpose", c.name.sft ? "sft" : "train"},
                      {"incarnation", c.name.incarnation},
                      {"step", c.name.step},
                      {"optimizer_updates", c.updates},
                      {"reference", !c.reference.empty()},
                      {"digest", DigestOf(c.weights)},
                      {"optimizer_digest", OptimizerDigest(c)},
                      {"model", ShapeToJson(c.shape)}};
  return state.dump(2) + "\n";
}

absl::Status WriteFiles(const std::string& folder, const Checkpoint& c) {
  const FileMetadata metadata = {{"policy", c.policy}, {"version", c.name.Folder()}};
  TANDEM_RETURN_IF_ERROR(SaveWeights(ModelFile(folder), c.shape, c.weights, metadata));
  const std::vector<int64_t> flat = {static_cast<int64_t>(c.weights.size())};
  std::vector<NamedTensor> moments = {{"exp_avg", flat, c.first}, {"exp_avg_sq", flat, c.second}};
  if (!c.reference.empty()) moments.push_back({"reference", flat, c.reference});
  TANDEM_RETURN_IF_ERROR(WriteSafetensors(OptimizerFile(folder), metadata, moments));
  for (const auto& [name, text] : c.companions) {
    TANDEM_RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(folder, "/", name), text));
  }
  return WriteFileAtomically(StateFile(folder), StateText(c));
}

// A folder's entries are on disk only once the folder itself was synced.
void SyncFolder(const fs::path& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

// The last one of an earlier incarnation stays: the journal of the one after it begins there.
void Prune(const std::string& run_folder, const std::string& policy, uint32_t keep) {
  const std::vector<CheckpointName> names = ListCheckpoints(run_folder, policy);
  for (size_t i = 0; i + keep < names.size(); ++i) {
    if (names[i].incarnation != names[i + 1].incarnation) continue;
    std::error_code ignored;  // an old checkpoint too many is no reason to stop
    fs::remove_all(CheckpointFolder(run_folder, policy, names[i]), ignored);
  }
}

}  // namespace

absl::Status WriteCheckpoint(const std::string& run_folder, const Checkpoint& checkpoint, uint32_t keep) {
  const fs::path folder = CheckpointFolder(run_folder, checkpoint.policy, checkpoint.name);
  const fs::path aside = folder.parent_path() / absl::StrCat(".writing-", checkpoint.name.Folder());
  const fs::path old = folder.parent_path() / absl::StrCat(".replaced-", checkpoint.name.Folder());
  std::error_code error;
  fs::remove_all(aside, error);
  fs::remove_all(old, error);
  if (!fs::create_directories(aside, error)) {
    return absl::UnavailableError(absl::StrCat(aside.string(), ": cannot be created: ", error.message()));
  }
  if (const absl::Status status = WriteFiles(aside.string(), checkpoint); !status.ok()) {
    fs::remove_all(aside, error);
    return Annotate(status, "writing a checkpoint");
  }
  SyncFolder(aside);
  if (fs::exists(folder, error)) fs::rename(folder, old, error);
  fs::rename(aside, folder, error);
  if (error)
    return absl::UnavailableError(absl::StrCat(folder.string(), ": cannot be put in place: ", error.message()));
  SyncFolder(folder.parent_path());
  fs::remove_all(old, error);
  Prune(run_folder, checkpoint.policy, keep);
  return absl::OkStatus();
}

absl::StatusOr<CheckpointState> ReadCheckpointState(const std::string& folder) {
  const std::string file = StateFile(folder);
  TANDEM_ASSIGN_OR_RETURN(const std::string text, ReadFile(file));
  const json state = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (state.is_discarded() || !state.is_object()) {
    return absl::DataLossError(absl::StrCat(file, ": is not JSON (cut short?)"));
  }
  const int format = state.contains("format") && state["format"].is_number_integer() ? state["format"].get<int>() : 0;
  if (format != kCheckpointFormat) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": format ", format, ", expected ", kCheckpointFormat, "; written by another Tandem?"));
  }
  try {
    CheckpointState out;
    out.policy = state.at("policy").get<std::string>();
    out.name = {state.at("incarnation").get<uint32_t>(), state.at("purpose").get<std::string>() == "sft",
                state.at("step").get<uint32_t>()};
    out.updates = state.at("optimizer_updates").get<uint64_t>();
    out.has_reference = state.at("reference").get<bool>();
    out.digest = state.at("digest").get<std::string>();
    out.optimizer_digest = state.value("optimizer_digest", "");
    const json& model = state.at("model");
    EachField(out.shape, [&](const char* name, auto& value) { model.at(name).get_to(value); });
    out.shape.rope_scaling = RopeScalingOf(model.at("rope_scaling"));
    return out;
  } catch (const json::exception& e) {
    return absl::DataLossError(absl::StrCat(file, ": a field is missing or of another type: ", e.what()));
  }
}

absl::StatusOr<std::vector<float>> LoadWeights(const std::string& folder, const ModelConfig& shape) {
  TANDEM_ASSIGN_OR_RETURN(const CheckpointState state, ReadCheckpointState(folder));
  TANDEM_RETURN_IF_ERROR(CompareShapes(StateFile(folder), state.shape, shape));
  std::vector<float> weights(static_cast<size_t>(ParameterCount(shape)));
  TANDEM_RETURN_IF_ERROR(LoadWeights(ModelFile(folder), shape, std::span<float>(weights)).status());
  if (const std::string digest = DigestOf(weights); digest != state.digest) {
    return absl::DataLossError(absl::StrCat(ModelFile(folder), ": its weights have digest ", digest, ", ",
                                            StateFile(folder), " expects ", state.digest));
  }
  return weights;
}

absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& folder, const ModelConfig& shape) {
  TANDEM_ASSIGN_OR_RETURN(const CheckpointState state, ReadCheckpointState(folder));
  Checkpoint out;
  out.policy = state.policy;
  out.name = state.name;
  out.shape = shape;
  out.updates = state.updates;
  TANDEM_ASSIGN_OR_RETURN(out.weights, LoadWeights(folder, shape));
  TANDEM_ASSIGN_OR_RETURN(const SafetensorsFile moments, SafetensorsFile::Open(OptimizerFile(folder)));
  const auto fill = [&](const char* name, std::vector<float>& values) -> absl::Status {
    TANDEM_ASSIGN_OR_RETURN(values, ReadFloats(moments, name, {ParameterCount(shape)}));
    return absl::OkStatus();
  };
  TANDEM_RETURN_IF_ERROR(fill("exp_avg", out.first));
  TANDEM_RETURN_IF_ERROR(fill("exp_avg_sq", out.second));
  if (state.has_reference) TANDEM_RETURN_IF_ERROR(fill("reference", out.reference));
  if (!state.optimizer_digest.empty() && OptimizerDigest(out) != state.optimizer_digest) {
    return absl::DataLossError(absl::StrCat(OptimizerFile(folder), ": is not what ", StateFile(folder),
                                            " was written for: its digest differs"));
  }
  return out;
}

}  // namespace tandem
