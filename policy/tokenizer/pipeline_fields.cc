#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "policy/tokenizer/tokenizer_fields.h"

namespace tandem {
namespace {

// The elements of a Sequence's list, or the field itself.
absl::StatusOr<std::vector<JsonField>> Steps(const JsonField& field, const char* list) {
  if (field.null()) return std::vector<JsonField>{};
  TANDEM_RETURN_IF_ERROR(field.CheckObject());
  if (field.Member("type").value() != "Sequence") return std::vector<JsonField>{field};
  const JsonField elements = field.Member(list);
  TANDEM_RETURN_IF_ERROR(elements.CheckList());
  std::vector<JsonField> steps;
  for (size_t i = 0; i < elements.value().size(); ++i) {
    const JsonField element = elements.Element(i);
    if (element.Member("type").value() == "Sequence") {  // a chain of these could be as deep as the file is long
      return element.Member("type").Expected("no Sequence within a Sequence");
    }
    steps.push_back(element);
  }
  return steps;
}

absl::Status ReadSplit(const JsonField& split, TokenizerFile& file) {
  const JsonField regex = split.Member("pattern").Member("Regex");
  TANDEM_ASSIGN_OR_RETURN(const std::string pattern, regex.Text());
  if (split.Member("behavior").value() != "Isolated") return split.Member("behavior").Expected("\"Isolated\"");
  TANDEM_ASSIGN_OR_RETURN(const bool invert, split.Member("invert").Flag());
  if (invert) return split.Member("invert").Expected("false");
  file.splits.push_back({pattern, regex.name()});
  return absl::OkStatus();
}

// The ids of one SpecialToken of a template.
absl::Status ReadSpecialToken(const JsonField& name, const JsonField& tokens, std::vector<int32_t>& into) {
  TANDEM_ASSIGN_OR_RETURN(const std::string id, name.Text());
  const JsonField ids = tokens.Member(id).Member("ids");
  TANDEM_RETURN_IF_ERROR(ids.CheckList());
  for (size_t i = 0; i < ids.value().size(); ++i) {
    TANDEM_ASSIGN_OR_RETURN(const int32_t one, ids.Element(i).Id());
    into.push_back(one);
  }
  return absl::OkStatus();
}

absl::Status ReadTemplate(const JsonField& processor, TokenizerFile& file) {
  const JsonField single = processor.Member("single");
  TANDEM_RETURN_IF_ERROR(single.CheckList());
  bool seen = false;
  for (size_t i = 0; i < single.value().size(); ++i) {
    const JsonField piece = single.Element(i);
    const JsonField sequence = piece.Member("Sequence");
    if (!sequence.null()) {
      if (seen || sequence.Member("id").value() != "A") return piece.Bad("expected the text once, as Sequence A");
      seen = true;
    } else {
      TANDEM_RETURN_IF_ERROR(ReadSpecialToken(piece.Member("SpecialToken").Member("id"),
                                              processor.Member("special_tokens"), seen ? file.after : file.before));
    }
  }
  return seen ? absl::OkStatus() : single.Expected("a list with Sequence A");
}

}  // namespace

absl::Status ReadNormalizerField(const JsonField& normalizer, TokenizerFile& file) {
  TANDEM_ASSIGN_OR_RETURN(const auto steps, Steps(normalizer, "normalizers"));
  for (const JsonField& step : steps) {
    if (step.Member("type").value() != "NFC") return step.Member("type").Expected("\"NFC\", or no normalizer");
    file.nfc = true;
  }
  return absl::OkStatus();
}

absl::Status ReadPreTokenizerField(const JsonField& pre_tokenizer, TokenizerFile& file) {
  TANDEM_ASSIGN_OR_RETURN(const auto steps, Steps(pre_tokenizer, "pretokenizers"));
  for (size_t i = 0; i < steps.size(); ++i) {
    const JsonField type = steps[i].Member("type");
    if (i + 1 < steps.size()) {
      if (type.value() != "Split") return type.Expected("\"Split\": steps of this kind, then one ByteLevel");
      TANDEM_RETURN_IF_ERROR(ReadSplit(steps[i], file));
    } else {
      if (type.value() != "ByteLevel") return type.Expected("\"ByteLevel\" as the last step");
      TANDEM_ASSIGN_OR_RETURN(file.add_prefix_space, steps[i].Member("add_prefix_space").Flag());
      TANDEM_ASSIGN_OR_RETURN(file.gpt2_split, steps[i].Member("use_regex").Flag(/*when_missing=*/true));
    }
  }
  return steps.empty() ? pre_tokenizer.Expected("ByteLevel, or Splits followed by it") : absl::OkStatus();
}

absl::Status ReadPostProcessorField(const JsonField& post_processor, TokenizerFile& file) {
  TANDEM_ASSIGN_OR_RETURN(const auto steps, Steps(post_processor, "processors"));
  bool seen = false;
  for (const JsonField& step : steps) {
    const JsonField type = step.Member("type");
    if (type.value() == "TemplateProcessing" && !std::exchange(seen, true)) {
      TANDEM_RETURN_IF_ERROR(ReadTemplate(step, file));
    } else if (type.value() != "ByteLevel") {  // which only trims offsets
      return type.Expected("\"ByteLevel\" or one \"TemplateProcessing\"");
    }
  }
  return absl::OkStatus();
}

absl::Status ReadDecoderField(const JsonField& decoder) {
  TANDEM_ASSIGN_OR_RETURN(const auto steps, Steps(decoder, "decoders"));
  if (steps.size() == 1 && steps[0].Member("type").value() == "ByteLevel") return absl::OkStatus();
  return decoder.null() || steps.empty() ? decoder.Expected("ByteLevel")
                                         : steps[0].Member("type").Expected("\"ByteLevel\" alone");
}

}  // namespace tandem
