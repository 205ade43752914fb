// Conversations as token ids, with those that the model generated.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "policy/chat/chat_rendering.h"
#include "policy/tokenizer/utf8.h"

namespace tandem {
namespace {

// What a model generated as a turn: its text, and whether it ended it.
struct GeneratedTurn {
  std::string text;
  bool ended = false;
};

// Puts texts and ids together: text is tokenized as a whole up to the next ids.
class IdsWriter {
 public:
  explicit IdsWriter(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  void Add(std::string_view text) { text_ += text; }
  absl::Status Add(std::span<const int32_t> ids, RenderedTurn& turn) {
    TANDEM_RETURN_IF_ERROR(Flush());
    turn.begin = ids_.size();
    ids_.insert(ids_.end(), ids.begin(), ids.end());
    turn.end = ids_.size();
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<int32_t>> Finish() {
    TANDEM_RETURN_IF_ERROR(Flush());
    return std::move(ids_);
  }

 private:
  absl::Status Flush() {
    TANDEM_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, tokenizer_.Encode(text_));
    ids_.insert(ids_.end(), ids.begin(), ids.end());
    text_.clear();
    return absl::OkStatus();
  }

  const Tokenizer& tokenizer_;
  std::string text_;
  std::vector<int32_t> ids_;
};

// What becomes of a turn whose text was `generated` after `prompt`, the end of a generation prompt. When its ids can
// stand in the rendering, `before_ids` is what the body has in front of them.
TurnFate FateOf(const ChatRendering::Turn& turn, const std::string& generated, std::string_view prompt,
                std::string_view& before_ids) {
  for (const std::string_view before : {std::string_view(), kEmptyThought}) {
    if (turn.body != absl::StrCat(std::string(before), generated)) continue;
    before_ids = before;
    return before == prompt ? TurnFate::kKept : TurnFate::kContextChanged;
  }
  return turn.if_changed;
}

}  // namespace

bool RenderedIds::kept_all() const {
  return std::all_of(turns.begin(), turns.end(), [](const RenderedTurn& turn) {
    return turn.fate == TurnFate::kKept || turn.fate == TurnFate::kNoIds;
  });
}

absl::StatusOr<RenderedIds> ChatTemplate::RenderIds(const Tokenizer& tokenizer, std::span<const Message> messages,
                                                    const ChatOptions& options) const {
  const std::optional<int32_t> end = tokenizer.TokenId(end_of_turn());
  if (!end) {
    return absl::InvalidArgumentError(absl::StrCat("the tokenizer has no token '", std::string(end_of_turn()),
                                                   "', with which the chat template ends turns"));
  }
  std::vector<Message> texts(messages.begin(), messages.end());
  std::vector<GeneratedTurn> generated(messages.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].ids.empty()) continue;
    if (texts[i].role != "assistant") return BadMessage(i, "ids: expected only of an assistant");
    if (!texts[i].content.empty() || texts[i].reasoning_content) {
      return BadMessage(i, "content: expected none besides ids");
    }
    std::span<const int32_t> ids = texts[i].ids;
    generated[i].ended = ids.back() == *end;
    if (generated[i].ended) ids = ids.first(ids.size() - 1);
    texts[i].content = generated[i].text = tokenizer.Decode(ids, {.keep_special_tokens = true});
  }
  TANDEM_ASSIGN_OR_RETURN(const ChatRendering rendering, RenderParts(texts, options));
  const std::string_view prompt =
      family_ == ChatFamily::kQwen3 && !options.enable_thinking ? kEmptyThought : std::string_view();
  RenderedIds rendered;
  rendered.turns.resize(messages.size());
  IdsWriter writer(tokenizer);
  writer.Add(rendering.head);
  for (size_t i = 0; i < messages.size(); ++i) {
    const ChatRendering::Turn& turn = rendering.turns[i];
    RenderedTurn& result = rendered.turns[i];
    std::string_view after = turn.after, before_ids;
    writer.Add(turn.before);
    if (!messages[i].ids.empty()) {
      result.fate = FateOf(turn, generated[i].text, prompt, before_ids);
      result.end_added = !generated[i].ended;
    }
    if (result.fate == TurnFate::kKept || result.fate == TurnFate::kContextChanged) {
      writer.Add(before_ids);
      TANDEM_RETURN_IF_ERROR(writer.Add(messages[i].ids, result));
      if (generated[i].ended) after.remove_prefix(end_of_turn().size());
    } else {
      // What the model generated need not have been UTF-8.
      writer.Add(result.fate == TurnFate::kNoIds ? turn.body : Utf8Lossy(turn.body));
    }
    writer.Add(after);
  }
  writer.Add(rendering.tail);
  TANDEM_ASSIGN_OR_RETURN(rendered.ids, writer.Finish());
  return rendered;
}

}  // namespace tandem
