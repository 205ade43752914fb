#include "policy/chat/chat_template.h"

#include <gmock/gmock.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "absl/strings/str_replace.h"
#include "tests/policy/chat/chat_fixtures.h"
#include "tests/policy/tokenizer/tokenizer_files.h"

namespace tandem {
namespace {

using testing::HasSubstr;

TEST(ChatTemplateTest, EveryFamilyIsKnownByItsTemplate) {
  EXPECT_EQ(TemplateOf("qwen2").family(), ChatFamily::kQwen2);
  EXPECT_EQ(TemplateOf("qwen2_5").family(), ChatFamily::kQwen2);
  EXPECT_EQ(TemplateOf("qwen3").family(), ChatFamily::kQwen3);
  EXPECT_EQ(TemplateOf("qwen3_instruct_2507").family(), ChatFamily::kQwen3Instruct);
  EXPECT_EQ(TemplateOf("llama3").family(), ChatFamily::kLlama3);
  EXPECT_EQ(TemplateOf("llama3_1").family(), ChatFamily::kLlama31);
  EXPECT_EQ(TemplateOf("llama3_2").family(), ChatFamily::kLlama31);
}

// tests/parity/make_chat_goldens.py writes the file from transformers' apply_chat_template, and compares ids as well.
TEST(ChatTemplateTest, WritesAndTokenizesAsTransformersDoes) {
  std::ifstream file("tests/policy/chat/goldens.jsonl");
  std::map<std::string, std::unique_ptr<Tokenizer>> tokenizers;
  int count = 0;
  for (std::string line; std::getline(file, line); ++count) {
    const nlohmann::json golden = nlohmann::json::parse(line), &question = golden[0];
    std::vector<ChatMessage> messages;
    for (const auto& message : question["messages"]) {
      messages.push_back({.role = message["role"], .content = message["content"]});
      if (message.contains("reasoning_content")) messages.back().reasoning_content = message["reasoning_content"];
    }
    const ChatOptions options{.add_generation_prompt = question["add_generation_prompt"],
                              .enable_thinking = question.value("enable_thinking", true),
                              .date = question["date"]};
    const std::string name = question["template"];
    const ChatTemplate chat = TemplateOf(name);
    const auto text = chat.Render(messages, options);
    ASSERT_TRUE(text.ok()) << text.status() << line;
    EXPECT_EQ(*text, golden[1].get<std::string>()) << line;
    std::unique_ptr<Tokenizer>& tokenizer = tokenizers[name];
    if (tokenizer == nullptr) tokenizer = TokenizerFor(name);
    const auto rendered = chat.RenderIds(*tokenizer, messages, options);
    ASSERT_TRUE(rendered.ok()) << rendered.status() << line;
    EXPECT_EQ(rendered->ids, *tokenizer->Encode(*text)) << line;
  }
  EXPECT_GE(count, 112);
}

TEST(ChatTemplateTest, AnotherSystemPromptOfTheTemplatesOwnIsFollowed) {
  const std::string jinja =
      absl::StrReplaceAll(*ReadFile("tests/parity/templates/qwen2_5.jinja"),
                          {{"You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
                            "Put your final answer within \\\\boxed{}."}});
  const auto chat = ChatTemplate::Recognise(jinja, "", "file");
  ASSERT_TRUE(chat.ok()) << chat.status();
  EXPECT_EQ(*chat->Render(std::vector<ChatMessage>{{"user", "hi"}}, {.add_generation_prompt = false}),
            "<|im_start|>system\nPut your final answer within \\boxed{}.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n");
}

TEST(ChatTemplateTest, ATemplateThatWritesOtherwiseIsUnknown) {
  const std::tuple<const char*, const char*, const char*> changes[] = {
      {"qwen2", "message['content']", "message['content'].strip()"},
      {"qwen2", "{% endfor %}", "{% endfor %}\n{{ bos_token }}"},
      {"qwen2", "'<|im_end|>' + '\\n'", "'<|im_end|>'"},
      {"qwen2_5", "not loop.first", "loop.first"},
      {"qwen2_5", "assistant\\n' }}", "assistant\\n<think>\\n' }}"},
      {"qwen3", "loop.index0 > ns.last_query_index", "loop.index0 >= 0"},
      {"qwen3", "split('</think>')[-1]", "split('</think>')[1]"},
      {"qwen3", "is false", "is true"},
      {"qwen3_instruct_2507", "'<|im_end|>\\n'", "'<|im_end|>'"},
      {"llama3", "| trim", ""},
      {"llama3", "{% if add_generation_prompt %}", "{% if true %}"},
      {"llama3_1", "December 2023", "March 2023"},
      {"llama3_1", "['content'] | trim", "['content']"},
      {"llama3_2", "{{- bos_token }}", ""},
  };
  for (const auto& [name, from, to] : changes) {
    const std::string jinja = *ReadFile(std::string("tests/parity/templates/") + name + ".jinja");
    const std::string changed = absl::StrReplaceAll(jinja, {{from, to}});
    ASSERT_NE(changed, jinja) << name << " has no " << from;
    const absl::Status status = ChatTemplate::Recognise(changed, "", "some.jinja").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name << ": " << from;
    EXPECT_THAT(std::string(status.message()), HasSubstr("some.jinja: an unknown chat template; expected"));
  }
  EXPECT_THAT(std::string(ChatTemplate::Recognise("", "", "some.jinja").status().message()), HasSubstr("unknown"));
  EXPECT_THAT(std::string(ChatTemplate::Recognise("{{ x", "", "some.jinja").status().message()),
              HasSubstr("some.jinja: a tag does not end"));
}

TEST(ChatTemplateTest, DamagedTemplatesAreErrorsOrKnown) {
  std::mt19937 random(4);
  int known = 0;
  for (const char* name : {"qwen2", "qwen2_5", "qwen3", "llama3", "llama3_2"}) {
    const std::string whole = *ReadFile(std::string("tests/parity/templates/") + name + ".jinja");
    for (int round = 0; round < 200; ++round) {
      std::string jinja = whole;
      const size_t at = random() % jinja.size();
      jinja.replace(at, random() % 3, jinja.substr(random() % jinja.size(), random() % 4));
      if (random() % 8 == 0) jinja.resize(at);
      const auto chat = ChatTemplate::Recognise(jinja, "", "some.jinja");
      if (chat.ok()) {
        ++known;
      } else {
        EXPECT_THAT(std::string(chat.status().message()), HasSubstr("some.jinja: "));
      }
    }
  }
  EXPECT_GT(known, 50);  // what is done with tools does not matter
}

TEST(ChatTemplateTest, OpensWhatAModelsFolderHas) {
  TokenizerFolder folder;
  const auto opened = [&] {
    const auto chat = ChatTemplate::Open(folder.path());
    if (!chat.ok()) return std::string(chat.status().message());
    return *chat->Render(std::vector<ChatMessage>{{"user", "hi"}});
  };
  nlohmann::json config = {{"bos_token", {{"content", "<bos>"}}}};
  folder.Write("tokenizer_config.json", config.dump());
  EXPECT_THAT(opened(),
              HasSubstr("tokenizer_config.json: chat_template: missing, and there is no chat_template.jinja"));
  config["chat_template"] = *ReadFile("tests/parity/templates/llama3.jinja");
  folder.Write("tokenizer_config.json", config.dump());
  EXPECT_EQ(
      opened(),
      "<bos><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n");
  config["chat_template"] = {{{"name", "tool_use"}, {"template", "x"}},
                             {{"name", "default"}, {"template", *ReadFile("tests/parity/templates/qwen3.jinja")}}};
  folder.Write("tokenizer_config.json", config.dump());
  EXPECT_EQ(opened(), "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
  config["chat_template"] = "{{ messages }}";
  folder.Write("tokenizer_config.json", config.dump());
  EXPECT_THAT(opened(), HasSubstr("tokenizer_config.json: chat_template: an unknown chat template"));
  folder.Write("chat_template.jinja", *ReadFile("tests/parity/templates/qwen3.jinja"));  // comes first
  EXPECT_EQ(opened(), "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
  folder.Write("chat_template.jinja", "{{ messages }}");
  EXPECT_THAT(opened(), HasSubstr("chat_template.jinja: an unknown chat template"));
}

TEST(ChatTemplateTest, MessagesThatCannotBeWrittenAreNamed) {
  const auto error = [](const char* name, std::vector<ChatMessage> messages) {
    return std::string(TemplateOf(name).Render(messages).status().message());
  };
  EXPECT_THAT(error("qwen3", {}), HasSubstr("messages: none"));
  EXPECT_THAT(error("qwen3", {{"user", "a"}, {"tool", "b"}}),
              HasSubstr("messages[1]: role: 'tool'; expected system, user or assistant (tools are not supported)"));
  EXPECT_THAT(error("qwen2", {{"assistant", "a", "b"}}), HasSubstr("messages[0]: reasoning_content"));
  EXPECT_THAT(error("qwen3", {{"user", "a", "b"}}), HasSubstr("messages[0]: reasoning_content"));
}

}  // namespace
}  // namespace tandem
