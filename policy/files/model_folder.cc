#include "policy/files/model_folder.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "policy/files/convert.h"
#include "policy/files/mapped_file.h"
#include "policy/files/read_tensors.h"
#include "policy/files/strict_json.h"

namespace tandem {
namespace {

constexpr char kEmbedding[] = "model.embed_tokens.weight", kHead[] = "lm_head.weight";

absl::Status BadWeights(const std::string& path, const std::string& tensor, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": tensor ", QuoteName(tensor), ": ", what));
}

absl::Status CheckTensor(const WeightFiles& weights, const std::string& name, const std::vector<int64_t>& shape) {
  const WeightFiles::Place* place = weights.Find(name);
  if (place == nullptr) return BadWeights(weights.path(), name, "is missing; config.json asks for it");
  return place->file->CheckShape(*place->tensor, shape);
}

absl::Status CheckWeights(const WeightFiles& weights, const ModelConfig& shape) {
  std::set<std::string_view> ours;
  const std::vector<Parameter> layout = ParameterLayout(shape);
  for (const Parameter& parameter : layout) {
    TANDEM_RETURN_IF_ERROR(CheckTensor(weights, parameter.name, parameter.shape));
    ours.insert(parameter.name);
  }
  if (shape.tied_head && weights.Find(kHead) != nullptr) {
    TANDEM_RETURN_IF_ERROR(CheckTensor(weights, kHead, {shape.vocabulary, shape.hidden}));
    ours.insert(kHead);
  }
  for (const auto& [name, place] : weights.tensors()) {
    if (!ours.contains(name) && !name.ends_with("rotary_emb.inv_freq")) {
      return BadWeights(place.file->path(), name, "is not of the model that config.json describes");
    }
  }
  return absl::OkStatus();
}

// Whether two tensors of one size hold the same numbers, of whatever types.
absl::StatusOr<bool> SameNumbers(const WeightFiles::Place& a, const WeightFiles::Place& b) {
  constexpr size_t kBlock = size_t{1} << 16;
  std::vector<std::byte> raw(kBlock * sizeof(float));
  const auto read = [&](const WeightFiles::Place& place, size_t first, std::span<float> out) -> absl::Status {
    const auto bytes = static_cast<size_t>(DtypeBytes(place.tensor->dtype));
    TANDEM_RETURN_IF_ERROR(
        place.file->ReadBytes(*place.tensor, first * bytes, std::span(raw).first(out.size() * bytes)));
    ToFloat32(place.tensor->dtype, raw.data(), static_cast<int64_t>(out.size()), out.data());
    return absl::OkStatus();
  };
  std::vector<float> values_a(kBlock), values_b(kBlock);
  const size_t size = a.tensor->bytes.size() / static_cast<size_t>(DtypeBytes(a.tensor->dtype));
  for (size_t done = 0; done < size; done += kBlock) {
    const size_t count = std::min(kBlock, size - done);
    TANDEM_RETURN_IF_ERROR(read(a, done, std::span(values_a).first(count)));
    TANDEM_RETURN_IF_ERROR(read(b, done, std::span(values_b).first(count)));
    if (std::memcmp(values_a.data(), values_b.data(), count * sizeof(float)) != 0) return false;
  }
  return true;
}

absl::Status CheckTiedHead(const WeightFiles& weights) {
  const WeightFiles::Place* head = weights.Find(kHead);
  if (head == nullptr) return absl::OkStatus();
  TANDEM_ASSIGN_OR_RETURN(const bool same, SameNumbers(*head, *weights.Find(kEmbedding)));
  if (same) return absl::OkStatus();
  return BadWeights(head->file->path(), kHead,
                    absl::StrCat("differs from ", kEmbedding, ", but config.json says tie_word_embeddings"));
}

}  // namespace

const std::vector<int32_t>& ModelFolder::eos_ids() const {
  return generation && !generation->ends.eos_ids.empty() ? generation->ends.eos_ids : config.ends.eos_ids;
}

const std::vector<std::string>& CopiedFiles() {
  static const std::vector<std::string>& files = *new std::vector<std::string>{"tokenizer.json",
                                                                               "tokenizer_config.json",
                                                                               "chat_template.jinja",
                                                                               "generation_config.json",
                                                                               "special_tokens_map.json",
                                                                               "vocab.json",
                                                                               "merges.txt",
                                                                               "added_tokens.json",
                                                                               "tokenizer.model"};
  return files;
}

absl::StatusOr<ModelFolder> LoadModelFolder(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return absl::NotFoundError(absl::StrCat(path, ": is not a folder"));
  const std::string config_path = path + "/config.json", generation_path = path + "/generation_config.json";
  TANDEM_ASSIGN_OR_RETURN(const MappedFile config_file, MappedFile::Open(config_path));
  TANDEM_ASSIGN_OR_RETURN(HfConfig config, ParseHfConfig(config_path, config_file.text()));
  TANDEM_ASSIGN_OR_RETURN(WeightFiles weights, WeightFiles::Open(path));
  TANDEM_RETURN_IF_ERROR(CheckWeights(weights, config.shape));
  ModelFolder folder{path, std::move(config), {}, std::move(weights), {}};
  if (std::filesystem::exists(generation_path, error)) {
    TANDEM_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(generation_path));
    TANDEM_ASSIGN_OR_RETURN(folder.generation,
                            ParseGenerationConfig(generation_path, file.text(), folder.shape().vocabulary));
  }
  for (const std::string& name : CopiedFiles()) {
    const std::string file = absl::StrCat(path, "/", name);
    if (name != "generation_config.json" && std::filesystem::exists(file, error)) folder.tokenizer_files[name] = file;
  }
  return folder;
}

absl::Status ReadWeights(const ModelFolder& folder, std::span<float> flat) {
  TANDEM_CHECK(static_cast<int64_t>(flat.size()) == ParameterCount(folder.shape()));
  if (folder.shape().tied_head) TANDEM_RETURN_IF_ERROR(CheckTiedHead(folder.weights));
  std::vector<TensorRead> reads;
  for (const Parameter& parameter : ParameterLayout(folder.shape())) {
    const WeightFiles::Place* place = folder.weights.Find(parameter.name);
    TANDEM_CHECK(place != nullptr);
    reads.push_back({place->file, place->tensor, flat.data() + parameter.offset});
  }
  AdviseHugePages(flat);
  return ReadTensors(reads, ReadingThreads());
}

}  // namespace tandem
