#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "policy/tokenizer/byte_level.h"
#include "policy/tokenizer/tokenizer_fields.h"

namespace tandem {
namespace {

using nlohmann::json;
using IdsOfSpellings = absl::flat_hash_map<std::string_view, int32_t>;

absl::Status ReadVocabulary(const JsonField& vocab, TokenizerFile& file) {
  TANDEM_RETURN_IF_ERROR(vocab.CheckObject());
  std::vector<bool> taken;
  file.vocabulary.reserve(vocab.value().size());
  for (const auto& [spelling, value] : vocab.value().items()) {
    const JsonField field(&value, file.path, absl::StrCat("model.vocab['", spelling, "']"));
    TANDEM_ASSIGN_OR_RETURN(const int32_t id, field.Id());
    if (spelling.empty()) return field.Bad("a token without characters");
    if (static_cast<size_t>(id) >= taken.size()) taken.resize(static_cast<size_t>(id) + 1 + taken.size() / 2);
    if (taken[id]) return field.Bad(absl::StrCat("id ", id, " is another token's already; expected each id once"));
    taken[id] = true;
    file.vocabulary.emplace_back(spelling, id);
  }
  return absl::OkStatus();
}

// Of one merge, which is "a b" or ["a", "b"]; false when it is neither.
bool ReadPair(const json& merge, std::string_view& left, std::string_view& right) {
  if (merge.is_string()) {
    const std::string_view text = merge.get_ref<const std::string&>();
    const size_t space = text.find(' ');
    if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) return false;
    left = text.substr(0, space);
    right = text.substr(space + 1);
    return true;
  }
  if (!merge.is_array() || merge.size() != 2 || !merge[0].is_string() || !merge[1].is_string()) return false;
  left = merge[0].get_ref<const std::string&>();
  right = merge[1].get_ref<const std::string&>();
  return true;
}

absl::Status ReadMerges(const JsonField& merges, const IdsOfSpellings& ids, TokenizerFile& file) {
  TANDEM_RETURN_IF_ERROR(merges.CheckList());
  file.merges.reserve(merges.value().size());
  std::string both;
  for (size_t i = 0; i < merges.value().size(); ++i) {
    std::string_view left, right;
    if (!ReadPair(merges.value()[i], left, right)) return merges.Element(i).Expected("\"a b\" or [\"a\", \"b\"]");
    both.assign(left).append(right);
    BpeMerge merge;
    for (const auto& [spelling, id] : {std::pair{left, &merge.left}, {right, &merge.right}, {both, &merge.merged}}) {
      const auto found = ids.find(spelling);
      if (found == ids.end()) {
        return merges.Element(i).Bad(
            absl::StrCat("names '", std::string(spelling), "'; expected a token of model.vocab"));
      }
      *id = found->second;
    }
    file.merges.push_back(merge);
  }
  return absl::OkStatus();
}

// What would give other ids than plain merging of bytes does.
absl::Status CheckPlain(const JsonField& model) {
  const JsonField dropout = model.Member("dropout");
  if (!dropout.null() && dropout.value() != 0) return dropout.Expected("null: ids must not depend on chance");
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const JsonField field = model.Member(affix);
    if (!field.null() && field.value() != "") return field.Expected("null");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadModelField(const JsonField& model, TokenizerFile& file) {
  TANDEM_RETURN_IF_ERROR(model.CheckObject());
  // Files written before there was a type have none.
  if (const JsonField type = model.Member("type"); !type.null() && type.value() != "BPE") {
    return type.Expected("\"BPE\"");
  }
  TANDEM_RETURN_IF_ERROR(CheckPlain(model));
  TANDEM_ASSIGN_OR_RETURN(file.ignore_merges, model.Member("ignore_merges").Flag(/*when_missing=*/false));
  TANDEM_RETURN_IF_ERROR(ReadVocabulary(model.Member("vocab"), file));
  IdsOfSpellings ids(file.vocabulary.begin(), file.vocabulary.end());
  for (int byte = 0; byte < 256; ++byte) {  // with all bytes there, nothing is ever unknown
    const std::string spelling = SpellingOfByte(static_cast<uint8_t>(byte));
    if (!ids.contains(spelling)) {
      return model.Member("vocab").Bad(absl::StrCat("has no token '", spelling, "', which is byte 0x",
                                                    absl::Hex(byte, absl::kZeroPad2),
                                                    "; expected a byte-level vocabulary"));
    }
  }
  return ReadMerges(model.Member("merges"), ids, file);
}

}  // namespace tandem
