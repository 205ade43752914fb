#include "policy/tokenizer/text_stream.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "policy/tokenizer/utf8.h"

namespace tandem {

absl::StatusOr<StopStrings> StopStrings::Create(std::vector<std::string> strings) {
  for (size_t i = 0; i < strings.size(); ++i) {
    if (strings[i].empty()) return absl::InvalidArgumentError(absl::StrCat("string ", i + 1, " is empty"));
    const size_t bad = FirstInvalidUtf8(strings[i]);
    if (bad != std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat("string ", i + 1, " is not UTF-8 at byte ", bad + 1,
                                                     ": it would split a character, and text ends between two"));
    }
  }
  return StopStrings(std::move(strings));
}

int StopStrings::EndOf(std::string_view text) const {
  int longest = -1;
  for (size_t i = 0; i < strings_.size(); ++i) {
    if (!text.ends_with(strings_[i])) continue;
    if (longest < 0 || strings_[i].size() > strings_[static_cast<size_t>(longest)].size()) {
      longest = static_cast<int>(i);
    }
  }
  return longest;
}

size_t StopStrings::Held(std::string_view text) const {
  size_t held = 0;
  for (const std::string& stop : strings_) {
    for (size_t size = std::min(text.size(), stop.size() - 1); size > held; --size) {
      if (text.ends_with(std::string_view(stop).substr(0, size))) held = size;
    }
  }
  return held;
}

TextStream::TextStream(const Tokenizer& tokenizer, StopStrings stops) : decoder_(tokenizer), stops_(std::move(stops)) {}

std::string TextStream::Push(int32_t id) { return stopped() ? "" : Take(decoder_.Push(id)); }

std::string TextStream::Finish() {
  if (stopped()) return "";
  std::string text = Take(decoder_.Finish());
  return text + std::exchange(held_, "");
}

std::string TextStream::Take(std::string_view more) {
  if (stops_.strings().empty()) return std::string(more);
  // Byte by byte, as if each had come by itself.
  for (const char c : more) {
    held_ += c;
    stop_ = stops_.EndOf(held_);
    if (!stopped()) continue;
    held_.resize(held_.size() - stop_string().size());
    return std::exchange(held_, "");
  }
  const size_t certain = held_.size() - stops_.Held(held_);
  std::string text = held_.substr(0, certain);
  held_.erase(0, certain);
  return text;
}

}  // namespace tandem
