#include "policy/tokenizer/text_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

// Token i is the i-th of some pieces of bytes.
class Pieces final : public Tokenizer {
 public:
  explicit Pieces(std::vector<std::string> pieces) : pieces_(std::move(pieces)) {}
  int64_t vocabulary() const override { return static_cast<int64_t>(pieces_.size()); }
  int32_t end_id() const override { return -1; }
  std::optional<int32_t> TokenId(std::string_view) const override { return std::nullopt; }
  bool Special(int32_t) const override { return false; }
  std::string_view Bytes(int32_t id) const override { return pieces_.at(static_cast<size_t>(id)); }

 private:
  absl::StatusOr<std::vector<int32_t>> EncodeUtf8(std::string_view, const EncodeOptions&) const override {
    return absl::UnimplementedError("not needed");
  }
  const std::vector<std::string> pieces_;
};

struct Read {
  std::string text, stop;
  bool operator==(const Read&) const = default;
};

// What is given out, piece by piece, of text that comes in `pieces`. Nothing of it can be taken back: when the pieces
// are the right text together, no beginning of a stop string was given out. No piece may come after the stop.
Read ReadIn(const std::vector<std::string>& pieces, const StopStrings& stops) {
  const Pieces tokenizer(pieces);
  TextStream stream(tokenizer, stops);
  Read read;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const bool before = stream.stopped();
    const std::string more = stream.Push(static_cast<int32_t>(i));
    if (before) {
      EXPECT_EQ(more, "");
    }
    read.text += more;
  }
  read.text += stream.Finish();
  if (stream.stopped()) read.stop = stream.stop_string();
  return read;
}

std::vector<std::string> Split(const std::string& text, RandomStream& random, uint64_t longest) {
  std::vector<std::string> pieces;
  for (size_t at = 0; at < text.size();) {
    const size_t size = std::min<size_t>(1 + random.Below(longest), text.size() - at);
    pieces.push_back(text.substr(at, size));
    at += size;
  }
  return pieces;
}

// Said once more, in one line: the first place where the text so far ends with a stop string.
Read Plainly(const std::string& text, const std::vector<std::string>& stops) {
  for (size_t end = 1; end <= text.size(); ++end) {
    Read best;
    for (const std::string& stop : stops) {
      if (std::string_view(text).substr(0, end).ends_with(stop) && stop.size() > best.stop.size()) best.stop = stop;
    }
    if (!best.stop.empty()) return {text.substr(0, end - best.stop.size()), best.stop};
  }
  return {text, ""};
}

TEST(TextStreamTest, TextAndStopAreTheSameWhereverTheBordersOfTokensAre) {
  const std::vector<std::string> characters = {"a", "b", "é", "漢", "\U0001F642", "\n"};
  RandomStream random(1);
  int stopped = 0;
  for (int round = 0; round < 3000; ++round) {
    const auto draw = [&](uint64_t most) {
      std::string text;
      for (uint64_t i = 1 + random.Below(most); i > 0; --i) text += characters[random.Below(characters.size())];
      return text;
    };
    const std::string text = draw(40);
    std::vector<std::string> strings;
    for (uint64_t i = random.Below(4); i > 0; --i) strings.push_back(draw(5));
    const auto stops = StopStrings::Create(strings);
    ASSERT_TRUE(stops.ok());
    const Read expected = Plainly(text, strings);
    stopped += expected.stop.empty() ? 0 : 1;
    for (const uint64_t longest : {1, 3, 9, 200}) {  // bytes of a token: also such as end within a character
      EXPECT_EQ(ReadIn(Split(text, random, longest), *stops), expected) << text;
    }
  }
  EXPECT_GT(stopped, 500);
}

TEST(TextStreamTest, TextThatMayBecomeAStopStringIsHeldBack) {
  const Pieces tokenizer({"x\n", "\nUs", "er", ":", "!"});
  const auto stops = StopStrings::Create({"\n\nUser:"});
  TextStream goes_on(tokenizer, *stops), stops_here(tokenizer, *stops);
  EXPECT_EQ(goes_on.Push(0), "x");
  EXPECT_EQ(goes_on.Push(1), "");
  EXPECT_EQ(goes_on.Push(4), "\n\nUs!");
  EXPECT_FALSE(goes_on.stopped());
  for (const int32_t id : {0, 1, 2}) stops_here.Push(id);
  EXPECT_FALSE(stops_here.stopped());
  EXPECT_EQ(stops_here.Push(3), "");
  EXPECT_TRUE(stops_here.stopped());
  EXPECT_EQ(stops_here.stop_string(), "\n\nUser:");
  EXPECT_EQ(stops_here.Push(4), "");
  EXPECT_EQ(stops_here.Finish(), "");
}

TEST(TextStreamTest, WhatIsHeldComesAtTheEnd) {
  const Pieces tokenizer({"ab", "\xE6\xBC"});
  TextStream stream(tokenizer, *StopStrings::Create({"bc"}));
  EXPECT_EQ(stream.Push(0), "a");
  EXPECT_EQ(stream.Push(1), "");                // the beginning of a character
  EXPECT_EQ(stream.Finish(), "b\xEF\xBF\xBD");  // which never ended: U+FFFD
}

TEST(TextStreamTest, ASharedEndGoesToTheLongest) {
  EXPECT_EQ(ReadIn({"xabc"}, *StopStrings::Create({"c", "abc", "bc"})), (Read{"x", "abc"}));
  EXPECT_EQ(ReadIn({"xabcd"}, *StopStrings::Create({"abcd", "bc"})), (Read{"xa", "bc"}));
}

TEST(TextStreamTest, AStopStringThatSplitsACharacterIsAnError) {
  EXPECT_THAT(std::string(StopStrings::Create({"x", "\xC3"}).status().message()),
              HasSubstr("string 2 is not UTF-8 at byte 1: it would split a character"));
  EXPECT_THAT(std::string(StopStrings::Create({""}).status().message()), HasSubstr("string 1 is empty"));
}

}  // namespace
}  // namespace tandem
