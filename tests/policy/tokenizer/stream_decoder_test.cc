#include "policy/tokenizer/stream_decoder.h"

#include <gtest/gtest.h>

#include <random>

#include "policy/tokenizer/utf8.h"

namespace tandem {
namespace {

// A token for each byte; 256 is the end, special, 257 "<b>", which is not.
class BytesTokenizer final : public Tokenizer {
 public:
  BytesTokenizer() {
    for (int byte = 0; byte < 256; ++byte) bytes_ += static_cast<char>(byte);
  }
  int64_t vocabulary() const override { return 258; }
  int32_t end_id() const override { return 256; }
  std::optional<int32_t> TokenId(std::string_view) const override { return std::nullopt; }
  bool Special(int32_t id) const override { return id == 256; }
  std::string_view Bytes(int32_t id) const override {
    if (id >= 256) return id == 256 ? "<end>" : id == 257 ? "<b>" : "";
    return std::string_view(bytes_).substr(static_cast<size_t>(id), 1);
  }

 private:
  absl::StatusOr<std::vector<int32_t>> EncodeUtf8(std::string_view text, const EncodeOptions&) const override {
    std::vector<int32_t> ids;
    for (const char c : text) ids.push_back(static_cast<uint8_t>(c));
    return ids;
  }
  std::string bytes_;
};

TEST(StreamDecoderTest, GivesOutWholeCharactersOnly) {
  const BytesTokenizer tokenizer;
  StreamDecoder stream(tokenizer);
  EXPECT_EQ(stream.Push('a'), "a");
  EXPECT_EQ(stream.Push(0xE2), "");
  EXPECT_EQ(stream.Push(0x82), "");
  EXPECT_EQ(stream.Push(0xAC), "€");
  EXPECT_EQ(stream.Push(0xF0), "");
  EXPECT_EQ(stream.Push(256), "");   // special
  EXPECT_EQ(stream.Push(9999), "");  // no token
  EXPECT_EQ(stream.Push(257), "\uFFFD<b>");
  EXPECT_EQ(stream.Push(0xF0), "");
  EXPECT_EQ(stream.Push(0x9F), "");
  EXPECT_EQ(stream.Finish(), "\uFFFD");
  EXPECT_EQ(stream.Push('b'), "b");
  EXPECT_EQ(stream.Finish(), "");
}

TEST(StreamDecoderTest, KeepsSpecialTokensWhenAsked) {
  const BytesTokenizer tokenizer;
  StreamDecoder stream(tokenizer, {.keep_special_tokens = true});
  EXPECT_EQ(stream.Push(256), "<end>");
}

TEST(StreamDecoderTest, PiecesAreTogetherWhatAllIdsDecodeTo) {
  const BytesTokenizer tokenizer;
  std::mt19937 random(5);
  const std::vector<int32_t> some = {'a',  0x80, 0x9F, 0xA0, 0xBF, 0xC2, 0xC3, 0xE0,
                                     0xE2, 0xED, 0xF0, 0xF4, 0xFF, 256,  257};
  for (int round = 0; round < 2000; ++round) {
    std::vector<int32_t> ids;
    for (int i = static_cast<int>(random() % 12); i > 0; --i) ids.push_back(some[random() % some.size()]);
    StreamDecoder stream(tokenizer);
    std::string pieces;
    for (const int32_t id : ids) pieces += stream.Push(id);
    pieces += stream.Finish();
    ASSERT_EQ(pieces, Utf8Lossy(tokenizer.Decode(ids)));
  }
}

TEST(TokenizerTest, TextThatIsNotUtf8IsAnErrorWithItsPlace) {
  const absl::Status status = BytesTokenizer().Encode("abc\xFFz").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "text: byte 3 (0xff) is not UTF-8");
}

}  // namespace
}  // namespace tandem
