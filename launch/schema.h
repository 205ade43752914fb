// What the schema of the configuration (proto/config.proto) says about its keys. The schema is the only list of
// options: reading, checking, writing and documenting a configuration all go through these functions.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <vector>

#include "proto/option.pb.h"

namespace tandem {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// The documentation, range and conditions of a key.
const proto::Key& KeyOf(const FieldDescriptor* field);

bool IsSection(const FieldDescriptor* field);  // a message: keys below it
bool IsList(const FieldDescriptor* field);     // of numbers; `min` and `max` are those of its length
bool IsGiven(const Message& message, const FieldDescriptor* field);
std::vector<std::string> KeyNames(const google::protobuf::Descriptor* type);
std::vector<std::string> EnumNames(const FieldDescriptor* field);  // as YAML writes them: in lower case

// "a whole number from 1 to 64", "a number of at least 0", "true or false", "one of pace, drop", "text", "a section of
// keys".
std::string ExpectedText(const FieldDescriptor* field);

// The value of a key as YAML writes it; of a number the shortest text that reads back to the same number.
std::string ScalarText(const Message& message, const FieldDescriptor* field);
std::string DefaultText(const FieldDescriptor* field);

// False when the key's `when` names a value that its sibling does not have: the key has no effect then.
bool HasEffect(const Message& message, const FieldDescriptor* field);
// What a key with `when` needs: "name: decoupled_ppo", "no init".
std::string NeedText(const FieldDescriptor* field);

// Sets every key that has an effect and is not set to its default, in all sections; clears those without effect.
void FillDefaults(Message* message);

// The entry of a map field with this name. Find: nullptr when there is none. Mutable: it is added then.
const Message* FindEntry(const Message& message, const FieldDescriptor* map, const std::string& name);
Message* MutableEntry(Message* message, const FieldDescriptor* map, const std::string& name);
std::vector<std::string> EntryNames(const Message& message, const FieldDescriptor* map);  // in ascending order

}  // namespace tandem
