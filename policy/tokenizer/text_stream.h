// Text out of ids that come one at a time, up to where a stop string says that it ends.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "policy/tokenizer/stream_decoder.h"
#include "policy/tokenizer/tokenizer.h"

namespace tandem {

// Strings before which a text ends. Immutable.
class StopStrings {
 public:
  StopStrings() = default;  // none: the text ends by itself
  // kInvalidArgument says which: one that is empty, or not UTF-8 (it would split a character).
  static absl::StatusOr<StopStrings> Create(std::vector<std::string> strings);

  const std::vector<std::string>& strings() const { return strings_; }

  // The index of the longest one that `text` ends with, or -1.
  int EndOf(std::string_view text) const;
  // The length of the longest end of `text` that one of them begins with and goes beyond.
  size_t Held(std::string_view text) const;

 private:
  explicit StopStrings(std::vector<std::string> strings) : strings_(std::move(strings)) {}
  std::vector<std::string> strings_;
};

// What it gives out is never taken back: text that may turn out to be the beginning of a stop string is held. The
// stop string that ends first counts, of several that end there the longest; so the text does not depend on where the
// borders of tokens are. For one thread; the tokenizer must outlive it.
class TextStream {
 public:
  TextStream(const Tokenizer& tokenizer, StopStrings stops);

  // What is certain of the text now and was not before, often nothing. Nothing after a stop string.
  std::string Push(int32_t id);
  // The rest, when no id comes any more.
  std::string Finish();

  bool stopped() const { return stop_ >= 0; }
  const std::string& stop_string() const { return stops_.strings().at(static_cast<size_t>(stop_)); }  // once stopped

 private:
  std::string Take(std::string_view more);

  StreamDecoder decoder_;
  const StopStrings stops_;
  std::string held_;  // of the text, not given out
  int stop_ = -1;
};

}  // namespace tandem
