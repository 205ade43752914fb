#include "policy/tokenizer/tokenizer_file.h"

#include "base/status.h"
#include "policy/tokenizer/tokenizer_fields.h"

namespace tandem {

absl::StatusOr<TokenizerFile> ReadTokenizerFile(const std::string& path) {
  TANDEM_ASSIGN_OR_RETURN(const nlohmann::json json, ReadJsonFile(path));
  const JsonField root(&json, path);
  TANDEM_RETURN_IF_ERROR(root.CheckObject());
  if (root.Member("version").value() != "1.0") return root.Member("version").Expected("\"1.0\"");
  for (const char* unread : {"truncation", "padding"}) {
    if (!root.Member(unread).null()) return root.Member(unread).Expected("null: texts are encoded whole");
  }
  TokenizerFile file;
  file.path = path;
  TANDEM_RETURN_IF_ERROR(ReadModelField(root.Member("model"), file));
  TANDEM_RETURN_IF_ERROR(ReadAddedTokensField(root.Member("added_tokens"), file));
  TANDEM_RETURN_IF_ERROR(ReadNormalizerField(root.Member("normalizer"), file));
  TANDEM_RETURN_IF_ERROR(ReadPreTokenizerField(root.Member("pre_tokenizer"), file));
  TANDEM_RETURN_IF_ERROR(ReadPostProcessorField(root.Member("post_processor"), file));
  TANDEM_RETURN_IF_ERROR(ReadDecoderField(root.Member("decoder")));
  return file;
}

}  // namespace tandem
