#include "policy/policy_source.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"
#include "policy/tokenizer/character_tokenizer.h"

namespace tandem {

absl::StatusOr<PolicySource> OpenPolicySource(const std::string& init, const ModelConfig& shape,
                                              std::string_view alphabet, const std::string& system) {
  PolicySource source;
  if (init.empty()) {
    absl::StatusOr<CharacterTokenizer> tokenizer = CharacterTokenizer::Create(alphabet);
    if (!tokenizer.ok()) return Annotate(tokenizer.status(), "alphabet");
    source.shape = shape;
    source.shape.vocabulary = tokenizer->vocabulary();
    source.companions["tokenizer.json"] = tokenizer->Json();
    TANDEM_ASSIGN_OR_RETURN(
        source.companions["config.json"],
        HfConfigText(source.shape, Dtype::kF32, {.eos_ids = {CharacterTokenizer::kEnd}, .bos_id = {}}, nullptr));
    source.language = Language::OfCharacters(*std::move(tokenizer));
    return source;
  }
  TANDEM_ASSIGN_OR_RETURN(ModelFolder folder, LoadModelFolder(init));
  TANDEM_ASSIGN_OR_RETURN(source.language, Language::OfFolder(init, folder.eos_ids(), system));
  if (source.language->tokenizer().vocabulary() > folder.shape().vocabulary) {
    return absl::InvalidArgumentError(absl::StrCat(init, "/tokenizer.json: has ids up to ",
                                                   source.language->tokenizer().vocabulary() - 1,
                                                   "; vocab_size of config.json is ", folder.shape().vocabulary));
  }
  source.shape = folder.shape();
  for (const auto& [name, path] : folder.tokenizer_files) {
    TANDEM_ASSIGN_OR_RETURN(source.companions[name], ReadFile(path));
  }
  if (folder.generation) {
    TANDEM_ASSIGN_OR_RETURN(source.companions["generation_config.json"], ReadFile(init + "/generation_config.json"));
  }
  TANDEM_ASSIGN_OR_RETURN(source.companions["config.json"],
                          HfConfigText(folder.shape(), Dtype::kF32, folder.config.ends, &folder.config));
  source.folder = std::move(folder);
  return source;
}

}  // namespace tandem
