#include "policy/tokenizer/nfc.h"

#include <gtest/gtest.h>

namespace tandem {
namespace {

std::string Nfc(std::string_view text) {
  std::string storage;
  return std::string(ToNfc(text, storage));
}

TEST(NfcTest, ComposesAndOrders) {
  EXPECT_EQ(Nfc("e\u0301"), "é");
  EXPECT_EQ(Nfc("a\u0301\u0323"), "ạ\u0301");  // the dot below comes first
  EXPECT_EQ(Nfc("\u1112\u1161\u11AB"), "한");
  EXPECT_EQ(Nfc("\u212B"), "Å");
  EXPECT_EQ(Nfc("plain, ÄÖÜ"), "plain, ÄÖÜ");
  EXPECT_EQ(Nfc(""), "");
}

TEST(NfcTest, TextThatIsInItIsGivenBackItself) {
  const std::string text = "한 é \u0301";
  std::string storage;
  EXPECT_EQ(ToNfc(text, storage).data(), text.data());
}

TEST(NfcTest, KnowsUnicodeNineAsTokenizersDoes) {
  EXPECT_EQ(Nfc("\U00011935\U00011930"), "\U00011935\U00011930");  // U+11938 since Unicode 13
  EXPECT_EQ(Nfc("a\u0301\u0898"), "á\u0898");
  EXPECT_EQ(Nfc("a\u0898\u0323"), "a\u0898\u0323");  // would be reordered by the mark's class, of Unicode 14
}

}  // namespace
}  // namespace tandem
