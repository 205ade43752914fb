#include "proto/wire/frame.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace tandem::wire {
namespace {

TEST(FrameTest, PacketsComeBackAsTheyWere) {
  Packet packet;
  packet.header.set_call(7);
  packet.header.mutable_batch_request()->set_policy("planner");
  packet.frames = {MakeFrame("abc"), MakeFrame(""), MakeFrame(std::string(100'000, 'x'))};
  const Parts parts = EncodePacket(packet);
  ASSERT_EQ(parts.size(), 4u);
  EXPECT_EQ(parts[3], packet.frames[2]);  // shared, not copied
  const auto decoded = DecodePacket(parts);
  ASSERT_TRUE(decoded.ok());
  EXPECT_TRUE(CheckFormat(decoded->header).ok());
  EXPECT_EQ(decoded->header.call(), 7u);
  EXPECT_EQ(decoded->header.batch_request().policy(), "planner");
  EXPECT_EQ(decoded->frames, packet.frames);
}

TEST(FrameTest, SaysWhatIsWrong) {
  EXPECT_EQ(DecodePacket({}).status().message(), "the message has no header");
  EXPECT_EQ(DecodePacket({MakeFrame("\xff\xff")}).status().message(),
            "the header (2 bytes) is not a tandem.proto.Header");
  proto::Header header;
  header.set_format(9);
  EXPECT_EQ(CheckFormat(header).message(), "the message is of protocol 9, expected protocol 1");
  Packet large{{}, {MakeFrame(std::string(11, 'x'))}};
  EXPECT_TRUE(CheckPartSizes(large, 11).ok());
  EXPECT_EQ(CheckPartSizes(large, 10).message(),
            "a part of 11 bytes is over the limit of 10 bytes (transport.max_message_bytes)");
}

TEST(FrameTest, RandomBytesAreAnErrorOrAHeader) {
  RandomStream random(1);
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes(random.Below(40), '\0');
    for (char& byte : bytes) byte = static_cast<char>(random.Next());
    (void)DecodePacket({MakeFrame(bytes), MakeFrame("x")});
  }
}

}  // namespace
}  // namespace tandem::wire
