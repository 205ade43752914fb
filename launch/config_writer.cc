#include "launch/config_writer.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/digest.h"

namespace tandem {
namespace {

constexpr size_t kColumns = 110;

class Writer {
 public:
  explicit Writer(const YamlStyle& style) : style_(style) {}

  void Section(const Message& message, int depth) {
    const auto* type = message.GetDescriptor();
    const auto* reflection = message.GetReflection();
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor* field = type->field(i);
      if (style_.without_local && KeyOf(field).local()) continue;
      if (IsSection(field) && !IsGiven(message, field)) {
        if (style_.documented) Unset(field, depth);
      } else if (field->is_map()) {
        Map(message, field, depth);
      } else if (IsSection(field)) {
        Header(field, depth);
        Section(reflection->GetMessage(message, field), depth + 1);
      } else if (IsGiven(message, field)) {
        Comment(field, depth);
        Line(depth, absl::StrCat(field->name(), ": ", ScalarText(message, field)));
      } else if (style_.documented && !HasEffect(message, field)) {
        Comment(field, depth);
        Line(depth, absl::StrCat("# ", field->name(), ": has no effect here"));
      } else if (style_.documented) {
        Unset(field, depth);
      }
    }
  }

  std::string text;

 private:
  void Map(const Message& message, const FieldDescriptor* field, int depth) {
    Header(field, depth);
    for (const std::string& name : EntryNames(message, field)) {
      Line(depth + 1, name + ":");
      Section(*FindEntry(message, field, name), depth + 2);
    }
  }

  void Unset(const FieldDescriptor* field, int depth) {
    if (depth == 0) text += "\n";
    Comment(field, depth);
    Line(depth, absl::StrCat("# ", field->name(), ": unset"));
  }

  void Header(const FieldDescriptor* field, int depth) {
    if (style_.documented && depth == 0 && !text.empty()) text += "\n";
    Comment(field, depth);
    Line(depth, field->name() + ":");
  }

  void Comment(const FieldDescriptor* field, int depth) {
    if (!style_.documented) return;
    const proto::Key& key = KeyOf(field);
    std::string comment = key.doc();
    if (!IsSection(field)) {
      absl::StrAppend(&comment, " (", ExpectedText(field), key.has_unit() ? absl::StrCat(", in ", key.unit()) : "",
                      "; default ", DefaultText(field), key.local() ? "; of this machine only" : "",
                      key.has_when() ? absl::StrCat("; needs ", NeedText(field)) : "", ")");
    }
    std::string line = "#";
    for (const auto& word : absl::StrSplit(comment, ' ')) {
      if (line.size() > 1 && 2 * depth + line.size() + 1 + word.size() > kColumns) {
        Line(depth, line);
        line = "#";
      }
      absl::StrAppend(&line, " ", word);
    }
    Line(depth, line);
  }

  void Line(int depth, const std::string& line) { absl::StrAppend(&text, std::string(2 * depth, ' '), line, "\n"); }

  YamlStyle style_;
};

}  // namespace

std::string WriteYaml(const Message& message, const YamlStyle& style) {
  Writer writer(style);
  writer.Section(message, 0);
  return std::move(writer.text);
}

std::string ConfigDigest(const Message& config) { return Digest(WriteYaml(config, {.without_local = true})); }

}  // namespace tandem
