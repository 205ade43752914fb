// Templates and tokenizers for tests of conversations.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "base/file.h"
#include "policy/chat/chat_template.h"
#include "policy/tokenizer/open_tokenizer.h"

namespace tandem {

// Of tests/parity/templates.
inline ChatTemplate TemplateOf(const std::string& name) {
  const std::string path = "tests/parity/templates/" + name + ".jinja";
  const auto jinja = ReadFile(path);
  EXPECT_TRUE(jinja.ok()) << jinja.status();
  const auto chat = ChatTemplate::Recognise(*jinja, "<|begin_of_text|>", path);
  EXPECT_TRUE(chat.ok()) << chat.status();
  return *chat;
}

// The small tokenizer that has the special tokens of a template.
inline std::unique_ptr<Tokenizer> TokenizerFor(const std::string& name) {
  const std::string family = name.substr(0, 6) == "llama3" ? "llama3" : name.substr(0, 5);
  auto tokenizer = OpenTokenizer("tests/policy/tokenizer/goldens/" + family);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

}  // namespace tandem
