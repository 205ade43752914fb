#include "launch/schema.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/status.h"

namespace tandem {
namespace {

std::string NumberText(double value) {
  char text[64];
  const auto result = std::to_chars(text, text + sizeof text, value);
  return std::string(text, result.ptr);
}

std::string QuotedText(const std::string& value) {
  const bool plain = !value.empty() && (absl::ascii_isalpha(value[0]) || value[0] == '_') &&
                     std::all_of(value.begin(), value.end(), [](char c) {
                       return absl::ascii_isalnum(c) || c == '_' || c == '-' || c == '.' || c == '/';
                     });
  const std::string lower = absl::AsciiStrToLower(value);
  static constexpr const char* kReserved[] = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"};
  if (plain && std::find(std::begin(kReserved), std::end(kReserved), lower) == std::end(kReserved)) return value;
  std::string quoted = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      absl::StrAppend(&quoted, "\\", std::string(1, c));
    } else if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppend(&quoted, "\\x", absl::Hex(c, absl::kZeroPad2));
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

std::string RangeText(const FieldDescriptor* field) {
  const proto::Key& key = KeyOf(field);
  if (key.has_min() && key.has_max())
    return absl::StrCat(" from ", NumberText(key.min()), " to ", NumberText(key.max()));
  if (key.has_min()) return absl::StrCat(" of at least ", NumberText(key.min()));
  if (key.has_max()) return absl::StrCat(" of at most ", NumberText(key.max()));
  return "";
}

void SetDefault(Message* message, const FieldDescriptor* field) {
  const auto* reflection = message->GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT32:
      return reflection->SetUInt32(message, field, field->default_value_uint32());
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return reflection->SetDouble(message, field, field->default_value_double());
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection->SetBool(message, field, field->default_value_bool());
    case FieldDescriptor::CPPTYPE_ENUM:
      return reflection->SetEnum(message, field, field->default_value_enum());
    case FieldDescriptor::CPPTYPE_STRING:
      return reflection->SetString(message, field, field->default_value_string());
    default:
      TANDEM_CHECK(false && "a type that the configuration does not use");
  }
}

}  // namespace

const proto::Key& KeyOf(const FieldDescriptor* field) { return field->options().GetExtension(proto::key); }

bool IsList(const FieldDescriptor* field) { return field->is_repeated() && !field->is_map(); }

bool IsSection(const FieldDescriptor* field) { return field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE; }

std::vector<std::string> KeyNames(const google::protobuf::Descriptor* type) {
  std::vector<std::string> names;
  for (int i = 0; i < type->field_count(); ++i) names.push_back(type->field(i)->name());
  return names;
}

std::vector<std::string> EnumNames(const FieldDescriptor* field) {
  std::vector<std::string> names;
  const auto* type = field->enum_type();
  for (int i = 0; i < type->value_count(); ++i) names.push_back(absl::AsciiStrToLower(type->value(i)->name()));
  return names;
}

std::string ExpectedText(const FieldDescriptor* field) {
  if (IsList(field)) return absl::StrCat("a list of ", NumberText(KeyOf(field).max()), " whole numbers");
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT32:
      return absl::StrCat("a whole number", KeyOf(field).has_min() || KeyOf(field).has_max() ? "" : " of at least 0",
                          RangeText(field));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return absl::StrCat("a number", RangeText(field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_ENUM:
      return absl::StrCat("one of ", absl::StrJoin(EnumNames(field), ", "));
    case FieldDescriptor::CPPTYPE_STRING:
      return "text";
    default:
      return field->is_map() ? "a section with one entry for each name" : "a section of keys";
  }
}

std::string ScalarText(const Message& message, const FieldDescriptor* field) {
  const auto* reflection = message.GetReflection();
  if (IsList(field)) {
    std::vector<uint32_t> numbers;
    for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
      numbers.push_back(reflection->GetRepeatedUInt32(message, field, i));
    }
    return absl::StrCat("[", absl::StrJoin(numbers, ", "), "]");
  }
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT32:
      return absl::StrCat(reflection->GetUInt32(message, field));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return NumberText(reflection->GetDouble(message, field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection->GetBool(message, field) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_ENUM:
      return absl::AsciiStrToLower(reflection->GetEnum(message, field)->name());
    default:
      return QuotedText(reflection->GetString(message, field));
  }
}

bool IsGiven(const Message& message, const FieldDescriptor* field) {
  const auto* reflection = message.GetReflection();
  return field->is_repeated() ? reflection->FieldSize(message, field) > 0 : reflection->HasField(message, field);
}

std::string DefaultText(const FieldDescriptor* field) {
  if (IsList(field) || KeyOf(field).unset()) return "unset";
  const Message* prototype =
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(field->containing_type());
  return ScalarText(*prototype, field);
}

bool HasEffect(const Message& message, const FieldDescriptor* field) {
  if (!KeyOf(field).has_when()) return true;
  const std::pair<std::string, std::string> when = absl::StrSplit(KeyOf(field).when(), absl::MaxSplits('=', 1));
  const FieldDescriptor* sibling = message.GetDescriptor()->FindFieldByName(when.first);
  TANDEM_CHECK(sibling != nullptr);
  const bool text = sibling->cpp_type() == FieldDescriptor::CPPTYPE_STRING;  // which ScalarText puts in quotes
  const std::string value = text ? message.GetReflection()->GetString(message, sibling) : ScalarText(message, sibling);
  for (const auto& allowed : absl::StrSplit(when.second, '|')) {
    if (value == allowed) return true;
  }
  return false;
}

std::string NeedText(const FieldDescriptor* field) {
  const std::string& when = KeyOf(field).when();
  if (when.ends_with('=')) return absl::StrCat("no ", when.substr(0, when.size() - 1));
  return absl::StrReplaceAll(when, {{"=", ": "}, {"|", " or "}});
}

void FillDefaults(Message* message) {
  const auto* type = message->GetDescriptor();
  const auto* reflection = message->GetReflection();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (field->is_map()) {
      for (const std::string& name : EntryNames(*message, field)) FillDefaults(MutableEntry(message, field, name));
    } else if (IsSection(field)) {
      if (IsGiven(*message, field) || !KeyOf(field).unset()) FillDefaults(reflection->MutableMessage(message, field));
    } else if (!IsGiven(*message, field) && !IsList(field) && !KeyOf(field).unset()) {
      SetDefault(message, field);
    }
  }
  // After the defaults, since the sibling that `when` asks for may have been one.
  for (int i = 0; i < type->field_count(); ++i) {
    if (!HasEffect(*message, type->field(i))) reflection->ClearField(message, type->field(i));
  }
}

namespace {

// The index of the entry in the map, or -1.
int EntryIndex(const Message& message, const FieldDescriptor* map, const std::string& name) {
  const auto* reflection = message.GetReflection();
  const FieldDescriptor* key_field = map->message_type()->map_key();
  for (int i = 0; i < reflection->FieldSize(message, map); ++i) {
    const Message& entry = reflection->GetRepeatedMessage(message, map, i);
    if (entry.GetReflection()->GetString(entry, key_field) == name) return i;
  }
  return -1;
}

}  // namespace

const Message* FindEntry(const Message& message, const FieldDescriptor* map, const std::string& name) {
  const int index = EntryIndex(message, map, name);
  if (index < 0) return nullptr;
  const Message& entry = message.GetReflection()->GetRepeatedMessage(message, map, index);
  return &entry.GetReflection()->GetMessage(entry, map->message_type()->map_value());
}

Message* MutableEntry(Message* message, const FieldDescriptor* map, const std::string& name) {
  const auto* reflection = message->GetReflection();
  const int index = EntryIndex(*message, map, name);
  Message* entry =
      index < 0 ? reflection->AddMessage(message, map) : reflection->MutableRepeatedMessage(message, map, index);
  entry->GetReflection()->SetString(entry, map->message_type()->map_key(), name);
  return entry->GetReflection()->MutableMessage(entry, map->message_type()->map_value());
}

std::vector<std::string> EntryNames(const Message& message, const FieldDescriptor* map) {
  std::vector<std::string> keys;
  const auto* reflection = message.GetReflection();
  const FieldDescriptor* key_field = map->message_type()->map_key();
  for (int i = 0; i < reflection->FieldSize(message, map); ++i) {
    const Message& entry = reflection->GetRepeatedMessage(message, map, i);
    keys.push_back(entry.GetReflection()->GetString(entry, key_field));
  }
  std::sort(keys.begin(), keys.end());
  return keys;
}

}  // namespace tandem
