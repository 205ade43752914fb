// What becomes of the ids that a model generated, as a conversation goes on.
#include <gmock/gmock.h>

#include <random>

#include "tests/policy/chat/chat_fixtures.h"

namespace tandem {
namespace {

using testing::ElementsAreArray;
using testing::HasSubstr;

using Ids = std::vector<int32_t>;

class RenderIdsTest : public testing::Test {
 protected:
  void Use(const std::string& name) {
    chat_ = TemplateOf(name);
    tokenizer_ = TokenizerFor(name);
    end_ = *tokenizer_->TokenId(chat_->end_of_turn());
  }
  // Not as Encode would divide it: a token for each byte, and the end of the turn.
  Ids ByBytes(std::string_view text, bool ended = true) const {
    Ids ids;
    for (const char c : text) ids.push_back(tokenizer_->Encode(std::string(1, c)).value()[0]);
    if (ended) ids.push_back(end_);
    return ids;
  }
  RenderedIds Rendered(const std::vector<Message>& messages, const ChatOptions& options = {}) const {
    const auto rendered = chat_->RenderIds(*tokenizer_, messages, options);
    EXPECT_TRUE(rendered.ok()) << rendered.status();
    return *rendered;
  }
  Ids Of(const RenderedIds& rendered, size_t message) const {
    const RenderedTurn& turn = rendered.turns[message];
    return {rendered.ids.begin() + static_cast<std::ptrdiff_t>(turn.begin),
            rendered.ids.begin() + static_cast<std::ptrdiff_t>(turn.end)};
  }
  std::string Text(const Ids& ids) const { return tokenizer_->Decode(ids, {.keep_special_tokens = true}); }

  std::optional<ChatTemplate> chat_;
  std::unique_ptr<Tokenizer> tokenizer_;
  int32_t end_ = 0;
};

TEST_F(RenderIdsTest, ALaterPromptHoldsTheVeryIdsThatWereGenerated) {
  Use("qwen2_5");
  const Ids generated = ByBytes("def f(x): return");
  ASSERT_NE(Ids(generated.begin(), generated.end() - 1), *tokenizer_->Encode("def f(x): return"));
  const RenderedIds later = Rendered({{"user", "a"}, {.role = "assistant", .ids = generated}, {"user", "b"}});
  EXPECT_EQ(later.turns[1].fate, TurnFate::kKept);
  EXPECT_FALSE(later.turns[1].end_added);
  EXPECT_THAT(Of(later, 1), ElementsAreArray(generated));
  EXPECT_EQ(Text(later.ids),
            "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
            "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\ndef f(x): return<|im_end|>\n"
            "<|im_start|>user\nb<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(later.turns[0].fate, TurnFate::kNoIds);
  EXPECT_TRUE(later.kept_all());
}

// The promise of kept_all(): prompts grow at their end only.
TEST_F(RenderIdsTest, APromptBeginsWithTheOneBeforeAndWhatWasGenerated) {
  std::mt19937 random(11);
  for (const char* name : {"qwen2", "qwen2_5", "qwen3_instruct_2507", "llama3", "llama3_1", "llama3_2", "qwen3"}) {
    Use(name);
    for (int round = 0; round < 20; ++round) {
      std::vector<Message> messages = {{"system", "Answer\n"}, {"user", " first "}};
      for (int turn = 0; turn < 4; ++turn) {
        Ids expected = Rendered(messages).ids;
        Ids generated;
        for (int i = static_cast<int>(random() % 9); i >= 0; --i) {
          generated.push_back(static_cast<int32_t>(random() % static_cast<uint64_t>(tokenizer_->vocabulary())));
        }
        if (random() % 3 != 0) generated.push_back(end_);
        expected.insert(expected.end(), generated.begin(), generated.end());
        messages.push_back({.role = "assistant", .ids = generated});
        messages.push_back({"user", "\nand then?"});
        const RenderedIds next = Rendered(messages);
        if (!next.kept_all()) {  // Llama's trimming; nothing else can happen to these
          EXPECT_TRUE(chat_->end_of_turn() == "<|eot_id|>" || chat_->family() == ChatFamily::kQwen3) << name;
          break;
        }
        ASSERT_GE(next.ids.size(), expected.size());
        EXPECT_THAT(Ids(next.ids.begin(), next.ids.begin() + static_cast<std::ptrdiff_t>(expected.size())),
                    ElementsAreArray(expected))
            << name;
      }
    }
  }
}

TEST_F(RenderIdsTest, ATurnThatWasCutOffIsEnded) {
  Use("llama3");
  const Ids cut = ByBytes("half a sen", /*ended=*/false);
  const RenderedIds rendered = Rendered({{"user", "a"}, {.role = "assistant", .ids = cut}, {"user", "b"}});
  EXPECT_EQ(rendered.turns[1].fate, TurnFate::kKept);
  EXPECT_TRUE(rendered.turns[1].end_added);
  EXPECT_THAT(Of(rendered, 1), ElementsAreArray(cut));
  EXPECT_EQ(rendered.ids[rendered.turns[1].end], end_);
}

TEST_F(RenderIdsTest, BytesThatAreNoTextAreKept) {
  Use("qwen2");
  Ids generated = *tokenizer_->Encode("ok");
  generated.push_back(*tokenizer_->TokenId("Ã"));  // byte 0xC3 alone
  generated.push_back(end_);
  const RenderedIds rendered = Rendered({{"user", "a"}, {.role = "assistant", .ids = generated}});
  EXPECT_EQ(rendered.turns[1].fate, TurnFate::kKept);
  EXPECT_THAT(Of(rendered, 1), ElementsAreArray(generated));
}

TEST_F(RenderIdsTest, LlamasTrimmingIsTold) {
  Use("llama3_1");
  const RenderedIds rendered =
      Rendered({{"user", "a"}, {.role = "assistant", .ids = ByBytes(" yes\n")}, {"user", "b"}});
  EXPECT_EQ(rendered.turns[1].fate, TurnFate::kTrimmed);
  EXPECT_EQ(rendered.turns[1].begin, rendered.turns[1].end);
  EXPECT_FALSE(rendered.kept_all());
  EXPECT_THAT(Text(rendered.ids), HasSubstr("<|end_header_id|>\n\nyes<|eot_id|>"));
}

TEST_F(RenderIdsTest, Qwen3DropsTheReasoningOfEarlierTurns) {
  Use("qwen3");
  const Ids thought = ByBytes("<think>\nhm\n</think>\n\nfour");
  const std::vector<Message> so_far = {{"user", "2+2?"}, {.role = "assistant", .ids = thought}};
  // While nobody has asked anything since, it stays as it is.
  const RenderedIds last = Rendered(so_far, {.add_generation_prompt = false});
  EXPECT_EQ(last.turns[1].fate, TurnFate::kKept);
  EXPECT_THAT(Of(last, 1), ElementsAreArray(thought));
  std::vector<Message> more = so_far;
  more.push_back({"user", "sure?"});
  const RenderedIds rendered = Rendered(more);
  EXPECT_EQ(rendered.turns[1].fate, TurnFate::kReasoningDropped);
  EXPECT_EQ(Text(rendered.ids),
            "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\nfour<|im_end|>\n"
            "<|im_start|>user\nsure?<|im_end|>\n<|im_start|>assistant\n");
}

TEST_F(RenderIdsTest, Qwen3WritesReasoningWithNewlinesOfItsOwn) {
  Use("qwen3");
  const RenderedIds rendered =
      Rendered({{"user", "2+2?"}, {.role = "assistant", .ids = ByBytes("<think>hm</think>four")}},
               {.add_generation_prompt = false});
  EXPECT_EQ(rendered.turns[1].fate, TurnFate::kReasoningReformed);
  EXPECT_THAT(Text(rendered.ids), HasSubstr("assistant\n<think>\nhm\n</think>\n\nfour<|im_end|>\n"));
}

TEST_F(RenderIdsTest, Qwen3WithoutThinkingDoesNotRepeatTheEmptyBlock) {
  Use("qwen3");
  const ChatOptions quick{.enable_thinking = false};
  const Ids answer = ByBytes("four");
  const std::vector<Message> messages = {{"user", "2+2?"}, {.role = "assistant", .ids = answer}, {"user", "sure?"}};
  const Ids first = Rendered({messages[0]}, quick).ids;
  EXPECT_THAT(Text(first), HasSubstr("assistant\n<think>\n\n</think>\n\n"));
  const RenderedIds later = Rendered(messages, quick);
  EXPECT_EQ(later.turns[1].fate, TurnFate::kContextChanged);
  EXPECT_FALSE(later.kept_all());
  EXPECT_THAT(Of(later, 1), ElementsAreArray(answer));
  EXPECT_THAT(Text(later.ids), HasSubstr("<|im_start|>assistant\nfour<|im_end|>\n"));
  // As the last turn it is written with the block, as it was generated; not so when it was generated with thinking on.
  const std::vector<Message> so_far(messages.begin(), messages.begin() + 2);
  const RenderedIds last = Rendered(so_far, {.add_generation_prompt = false, .enable_thinking = false});
  EXPECT_EQ(last.turns[1].fate, TurnFate::kKept);
  EXPECT_THAT(Of(last, 1), ElementsAreArray(answer));
  EXPECT_THAT(Text(last.ids), HasSubstr("assistant\n<think>\n\n</think>\n\nfour<|im_end|>\n"));
  Ids whole = first;
  whole.insert(whole.end(), answer.begin(), answer.end());
  EXPECT_THAT(Ids(last.ids.begin(), last.ids.begin() + static_cast<std::ptrdiff_t>(whole.size())),
              ElementsAreArray(whole));
  EXPECT_EQ(Rendered(so_far, {.add_generation_prompt = false}).turns[1].fate, TurnFate::kContextChanged);
}

TEST_F(RenderIdsTest, WhatCannotBeIsNamed) {
  Use("qwen3");
  const auto error = [&](std::vector<Message> messages) {
    return std::string(chat_->RenderIds(*tokenizer_, messages).status().message());
  };
  EXPECT_THAT(error({{.role = "user", .ids = {1}}}), HasSubstr("messages[0]: ids: expected only of an assistant"));
  EXPECT_THAT(error({{.role = "assistant", .content = "x", .ids = {1}}}), HasSubstr("messages[0]: content"));
  EXPECT_THAT(error({{.role = "assistant", .reasoning_content = "x", .ids = {1}}}), HasSubstr("messages[0]: content"));
  EXPECT_THAT(error({{"user", "\xFF"}}), HasSubstr("is not UTF-8"));
  tokenizer_ = TokenizerFor("llama3");
  EXPECT_THAT(error({{"user", "a"}}), HasSubstr("the tokenizer has no token '<|im_end|>'"));
}

TEST(TurnFateTest, EveryFateHasAName) {
  EXPECT_EQ(TurnFateName(TurnFate::kNoIds), "no_ids");
  EXPECT_EQ(TurnFateName(TurnFate::kReasoningReformed), "reasoning_reformed");
}

}  // namespace
}  // namespace tandem
