// Text to token ids and back.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace tandem {

struct EncodeOptions {
  // Puts around the text what the tokenizer's post-processor does (Llama 3: <|begin_of_text|> in front).
  bool add_special_tokens = false;
  // Reads the names of special tokens as plain text: what people write cannot then end a turn.
  bool special_tokens_as_text = false;
};

struct DecodeOptions {
  bool keep_special_tokens = false;  // by name: "<|im_end|>"
};

// After construction all methods are const, and safe to call from many threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Every id that Encode gives is in [0, vocabulary()); not all of these need name a token.
  virtual int64_t vocabulary() const = 0;
  // The token that ends a turn.
  virtual int32_t end_id() const = 0;
  // The id of the token of that name, as the tokenizer's file spells it ("<|im_end|>", "Ġthe").
  virtual std::optional<int32_t> TokenId(std::string_view name) const = 0;
  // A token that says something of the text and is no part of it, such as the end of a turn.
  virtual bool Special(int32_t id) const = 0;
  // What a token stands for: the bytes of an ordinary one, which need not be whole characters, the name of a special
  // one. Nothing for an id without a token: a model's vocabulary may be padded beyond its tokenizer's. Lives as long as
  // the tokenizer.
  virtual std::string_view Bytes(int32_t id) const = 0;

  // kInvalidArgument: the text is not UTF-8 (with the offset of the first bad byte), or has what the vocabulary cannot
  // say. kResourceExhausted: a pattern of the tokenizer's file went beyond its limits on this text.
  absl::StatusOr<std::vector<int32_t>> Encode(std::string_view text, const EncodeOptions& options = {}) const;

  // The bytes as they are: a token may end within a character (see StreamDecoder, Utf8Lossy).
  std::string Decode(std::span<const int32_t> ids, const DecodeOptions& options = {}) const;

 private:
  virtual absl::StatusOr<std::vector<int32_t>> EncodeUtf8(std::string_view text,
                                                          const EncodeOptions& options) const = 0;
};

}  // namespace tandem
