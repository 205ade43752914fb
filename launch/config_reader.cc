#include "launch/config_reader.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <limits>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "launch/suggestion.h"

namespace tandem {
namespace {

using google::protobuf::Descriptor;

std::string Join(const std::string& path, const std::string& key) {
  return path.empty() ? key : absl::StrCat(path, ".", key);
}

// Keys of this name further down: for `bound` under a policy it is staleness.bound that was meant.
void FindBelow(const Descriptor* type, const std::string& name, const std::string& path,
               std::vector<std::string>* found) {
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (!IsSection(field)) {
      if (field->name() == name && !path.empty()) found->push_back(Join(path, name));
    } else if (field->is_map()) {
      FindBelow(field->message_type()->map_value()->message_type(), name, Join(Join(path, field->name()), "<name>"),
                found);
    } else {
      FindBelow(field->message_type(), name, Join(path, field->name()), found);
    }
  }
}

std::string UnknownKey(const Descriptor* type, const std::string& name) {
  if (NearestWord(name, KeyNames(type)).empty()) {
    std::vector<std::string> below;
    FindBelow(type, name, "", &below);
    if (!below.empty()) return absl::StrCat("unknown key; did you mean ", absl::StrJoin(below, " or "), "?");
  }
  return absl::StrCat("unknown key", Suggestion(name, KeyNames(type)));
}

bool IsName(const std::string& text) {
  return !text.empty() && text.size() <= 40 && absl::ascii_isalpha(text[0]) &&
         std::all_of(text.begin(), text.end(), [](char c) { return absl::ascii_isalnum(c) || c == '_' || c == '-'; });
}

// One reading of one text. `line_of_flag`: places are a flag's and not lines.
class Reader {
 public:
  Reader(KeyPlaces* places, std::string flag) : places_(places), flag_(std::move(flag)) {}

  absl::Status ReadSection(const YAML::Node& node, const std::string& path, Message* message) {
    if (node.IsNull()) return absl::OkStatus();  // "planner:" with nothing below it: all defaults
    if (!node.IsMap()) return places_->Error(path, absl::StrCat("expected a section of keys, found ", Found(node)));
    std::set<std::string> seen;
    for (const auto& pair : node) {
      const std::string name = pair.first.IsScalar() ? pair.first.Scalar() : "";
      const std::string key_path = Join(path, name);
      Note(key_path, pair.first);
      if (!pair.first.IsScalar()) return places_->Error(key_path, "a key has to be a word");
      if (!seen.insert(name).second) return places_->Error(key_path, "given twice");
      const FieldDescriptor* field = message->GetDescriptor()->FindFieldByName(name);
      if (field == nullptr) return places_->Error(key_path, UnknownKey(message->GetDescriptor(), name));
      TANDEM_RETURN_IF_ERROR(ReadField(pair.second, key_path, message, field));
    }
    return absl::OkStatus();
  }

  absl::Status ReadField(const YAML::Node& node, const std::string& path, Message* message,
                         const FieldDescriptor* field) {
    if (field->is_map()) return ReadMap(node, path, message, field);
    if (IsList(field)) return ReadList(node, path, message, field);
    if (IsSection(field)) {
      return ReadSection(node, path, message->GetReflection()->MutableMessage(message, field));
    }
    return ReadScalar(node, path, message, field);
  }

  void Note(const std::string& path, const YAML::Node& node) {
    if (flag_.empty()) {
      places_->SetLine(path, node.Mark().line + 1);
    } else {
      places_->SetFlag(path, flag_);
    }
  }

 private:
  absl::Status ReadMap(const YAML::Node& node, const std::string& path, Message* message,
                       const FieldDescriptor* field) {
    if (node.IsNull()) return absl::OkStatus();
    if (!node.IsMap()) {
      return places_->Error(path, absl::StrCat("expected ", ExpectedText(field), ", found ", Found(node)));
    }
    std::set<std::string> seen;
    for (const auto& pair : node) {
      const std::string name = pair.first.IsScalar() ? pair.first.Scalar() : "";
      const std::string entry_path = Join(path, name);
      Note(entry_path, pair.first);
      if (!IsName(name)) {
        return places_->Error(entry_path, "a name is a letter, then letters, digits, - and _, 40 at most");
      }
      if (!seen.insert(name).second) return places_->Error(entry_path, "given twice");
      TANDEM_RETURN_IF_ERROR(ReadSection(pair.second, entry_path, MutableEntry(message, field, name)));
    }
    return absl::OkStatus();
  }

  absl::Status ReadList(const YAML::Node& node, const std::string& path, Message* message,
                        const FieldDescriptor* field) {
    const proto::Key& key = KeyOf(field);
    const auto expected = [&](const std::string& found) {
      return places_->Error(path, absl::StrCat("expected ", ExpectedText(field), ", found ", found));
    };
    if (!node.IsSequence()) return expected(Found(node));
    if (node.size() < key.min() || node.size() > key.max()) return expected(absl::StrCat(node.size(), " entries"));
    message->GetReflection()->ClearField(message, field);
    for (const YAML::Node& entry : node) {
      uint32_t number = 0;
      if (!entry.IsScalar() || entry.Tag() == "!" || !Parse(entry.Scalar(), &number)) return expected(Found(entry));
      message->GetReflection()->AddUInt32(message, field, number);
    }
    return absl::OkStatus();
  }

  absl::Status ReadScalar(const YAML::Node& node, const std::string& path, Message* message,
                          const FieldDescriptor* field) {
    const std::string expected = absl::StrCat("expected ", ExpectedText(field), ", found ", Found(node));
    if (!node.IsScalar()) return places_->Error(path, expected);
    const auto* reflection = message->GetReflection();
    const std::string& text = node.Scalar();
    // A quoted "4" is text, and so no number.
    const bool quoted = node.Tag() == "!";
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_UINT32: {
        int64_t value = 0;
        if (quoted || !Parse(text, &value) || !InRange(field, static_cast<double>(value)) || value < 0 ||
            value > std::numeric_limits<uint32_t>::max()) {
          return places_->Error(path, expected);
        }
        reflection->SetUInt32(message, field, static_cast<uint32_t>(value));
        return absl::OkStatus();
      }
      case FieldDescriptor::CPPTYPE_DOUBLE: {
        double value = 0;
        if (quoted || !Parse(text, &value) || !std::isfinite(value) || !InRange(field, value)) {
          return places_->Error(path, expected);
        }
        reflection->SetDouble(message, field, value);
        return absl::OkStatus();
      }
      case FieldDescriptor::CPPTYPE_BOOL:
        if (quoted || (text != "true" && text != "false")) return places_->Error(path, expected);
        reflection->SetBool(message, field, text == "true");
        return absl::OkStatus();
      case FieldDescriptor::CPPTYPE_ENUM: {
        const std::vector<std::string> names = EnumNames(field);
        const auto at = std::find(names.begin(), names.end(), text);
        if (at == names.end()) {
          const std::string near = NearestWord(text, names);
          return places_->Error(path,
                                absl::StrCat(expected, near.empty() ? "" : absl::StrCat("; did you mean ", near, "?")));
        }
        reflection->SetEnum(message, field, field->enum_type()->value(static_cast<int>(at - names.begin())));
        return absl::OkStatus();
      }
      default: {
        const bool from_here = KeyOf(field).file() && !flag_.empty() && !text.empty();
        reflection->SetString(message, field, from_here ? std::filesystem::absolute(text).string() : text);
        return absl::OkStatus();
      }
    }
  }

  template <typename Number>
  static bool Parse(const std::string& text, Number* value) {
    const auto result = std::from_chars(text.data(), text.data() + text.size(), *value);
    return result.ec == std::errc() && result.ptr == text.data() + text.size() && !text.empty();
  }

  static bool InRange(const FieldDescriptor* field, double value) {
    const proto::Key& key = KeyOf(field);
    return (!key.has_min() || value >= key.min()) && (!key.has_max() || value <= key.max());
  }

  // What stands there, short enough for an error's one line.
  static std::string Found(const YAML::Node& node) {
    if (!node.IsDefined() || node.IsNull()) return "nothing";
    if (node.IsSequence()) return "a list";
    if (node.IsMap()) return "a section of keys";
    std::string text = node.Scalar().substr(0, 60);
    absl::StrReplaceAll({{"\n", "\\n"}, {"\r", "\\r"}}, &text);
    return node.Tag() == "!" ? absl::StrCat("the text \"", text, "\"") : text;
  }

  KeyPlaces* places_;
  std::string flag_;
};

absl::StatusOr<YAML::Node> Parse(const std::string& text, const std::string& where) {
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.size() > 1)
      return absl::InvalidArgumentError(
          absl::StrCat(where, ": has ", documents.size(), " documents (a line ---), expected one"));
    return documents.empty() ? YAML::Node() : documents.front();
  } catch (const YAML::Exception& error) {
    const std::string line = error.mark.is_null() ? "" : absl::StrCat(":", error.mark.line + 1);
    return absl::InvalidArgumentError(
        absl::StrCat(where, where[0] == '-' ? "" : line, ": this is no YAML: ", error.msg));
  }
}

}  // namespace

absl::Status ReadYaml(const std::string& text, Message* message, KeyPlaces* places) {
  if (text.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(places->file(), ": this is no YAML: it has a zero byte"));
  }
  TANDEM_ASSIGN_OR_RETURN(const YAML::Node root, Parse(text, places->file()));
  try {
    return Reader(places, "").ReadSection(root, "", message);
  } catch (const YAML::Exception& error) {  // of a node's lazy evaluation
    return absl::InvalidArgumentError(absl::StrCat(places->file(), ":", error.mark.line + 1, ": ", error.msg));
  }
}

absl::Status SetKey(const std::string& path, const std::string& value, const std::string& flag,
                    const std::vector<std::string>& may_be_added, Message* message, KeyPlaces* places) {
  TANDEM_ASSIGN_OR_RETURN(const YAML::Node node, Parse(value, flag));
  std::vector<std::string> keys = absl::StrSplit(path, '.');
  std::string so_far;
  for (size_t i = 0; i < keys.size(); ++i) {
    const FieldDescriptor* field = message->GetDescriptor()->FindFieldByName(keys[i]);
    so_far = Join(so_far, keys[i]);
    if (field == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(flag, ": ", so_far, ": ", UnknownKey(message->GetDescriptor(), keys[i])));
    }
    const bool last = i + 1 == keys.size();
    if (last || !IsSection(field)) {
      if (!last) return absl::InvalidArgumentError(absl::StrCat(flag, ": ", so_far, " has no keys below it"));
      places->SetFlag(path, flag);
      return Reader(places, flag).ReadField(node, path, message, field);
    }
    if (!field->is_map()) {
      message = message->GetReflection()->MutableMessage(message, field);
      continue;
    }
    const std::string& name = keys[++i];
    so_far = Join(so_far, name);
    const bool add = std::find(may_be_added.begin(), may_be_added.end(), so_far) != may_be_added.end();
    if (!add && FindEntry(*message, field, name) == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(flag, ": there is no ", so_far, Suggestion(name, EntryNames(*message, field))));
    }
    message = MutableEntry(message, field, name);
    if (i + 1 == keys.size()) {
      places->SetFlag(path, flag);
      return Reader(places, flag).ReadSection(node, path, message);
    }
  }
  return absl::OkStatus();
}

namespace {

absl::Status CheckEffectsBelow(const Message& message, const std::string& path, const KeyPlaces& places,
                               bool flags_only) {
  const auto* type = message.GetDescriptor();
  const auto* reflection = message.GetReflection();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    const std::string below = Join(path, field->name());
    if (field->is_map()) {
      for (const std::string& name : EntryNames(message, field)) {
        TANDEM_RETURN_IF_ERROR(
            CheckEffectsBelow(*FindEntry(message, field, name), Join(below, name), places, flags_only));
      }
    } else if (IsGiven(message, field)) {
      if (!HasEffect(message, field) && (!flags_only || places.FromFlag(below))) {
        return places.Error(below, absl::StrCat("has no effect here: it needs ", NeedText(field)));
      }
      if (!IsSection(field)) continue;
      TANDEM_RETURN_IF_ERROR(CheckEffectsBelow(reflection->GetMessage(message, field), below, places, flags_only));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckEffects(const Message& message, const KeyPlaces& places, bool flags_only) {
  return CheckEffectsBelow(message, "", places, flags_only);
}

}  // namespace tandem
