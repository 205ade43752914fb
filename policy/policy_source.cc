#include "policy/policy_source.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem {

absl::StatusOr<PolicySource> OpenPolicySource(const std::string& init, const ModelConfig& shape,
                                              std::string_view alphabet, const std::string& system) {
  PolicySource source;
  if (init.empty()) {
    absl::StatusOr<std::unique_ptr<Language>> language = Language::OfCharacters(alphabet);
    if (!language.ok()) return Annotate(language.status(), "alphabet");
    source.language = *std::move(language);
    source.shape = shape;
    source.shape.vocabulary = source.language->tokenizer().vocabulary();
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
  source.folder = std::move(folder);
  return source;
}

}  // namespace tandem
