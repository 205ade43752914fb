// Text out of ids that come one at a time.
#pragma once

#include <cstdint>
#include <string>

#include "policy/tokenizer/tokenizer.h"

namespace tandem {

// Gives out whole characters only, so that each piece can be shown or sent at once. The pieces, Finish()'s last, are
// together what `tokenizers` decodes all the ids to: Utf8Lossy(Decode(ids)). For one thread; the tokenizer must outlive
// it.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, DecodeOptions options = {});

  // What is known of the text now and was not before, often nothing.
  std::string Push(int32_t id);
  // The rest: U+FFFD where a character was left unfinished. The decoder is then as new.
  std::string Finish();

 private:
  const Tokenizer& tokenizer_;
  const DecodeOptions options_;
  std::string rest_;  // the beginning of a character: at most three bytes
};

}  // namespace tandem
