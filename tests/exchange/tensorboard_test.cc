#include "exchange/tensorboard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "proto/tensorboard.pb.h"

namespace tandem {
namespace {

std::string Bytes(std::initializer_list<int> values) {
  std::string bytes;
  for (const int value : values) bytes.push_back(static_cast<char>(value));
  return bytes;
}

std::string FreshFolder(const std::string& name) {
  const std::string folder = testing::TempDir() + "/tensorboard_test_" + name;
  std::filesystem::remove_all(folder);
  return folder;
}

// Reads a file back, checking every length and CRC. Fails the test at the first record that does not hold.
std::vector<proto::TensorBoardEvent> ReadEvents(const std::string& path) {
  std::vector<proto::TensorBoardEvent> events;
  const absl::StatusOr<std::string> bytes = ReadFile(path);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  if (!bytes.ok()) return events;
  for (std::string_view rest = *bytes; !rest.empty();) {
    uint64_t length = 0;
    if (rest.size() < 16) return ADD_FAILURE() << "cut off", events;
    std::memcpy(&length, rest.data(), 8);
    if (rest.size() < 16 + length) return ADD_FAILURE() << "length " << length << " beyond the file", events;
    const std::string_view payload = rest.substr(12, length);
    EXPECT_EQ(rest.substr(0, 16 + length), TfRecord(payload));
    EXPECT_TRUE(events.emplace_back().ParseFromArray(payload.data(), static_cast<int>(length)));
    rest.remove_prefix(16 + length);
  }
  return events;
}

TEST(Crc32cTest, HasTheValuesOfRfc3720) {
  std::string up, down;
  for (int i = 0; i < 32; ++i) {
    up.push_back(static_cast<char>(i));
    down.push_back(static_cast<char>(31 - i));
  }
  EXPECT_EQ(Crc32c(""), 0u);
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(Crc32c(up), 0x46dd794eu);
  EXPECT_EQ(Crc32c(down), 0x113fdb5cu);
  // An iSCSI SCSI Read (10) command PDU.
  const std::string pdu = Bytes({0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0, 0,     //
                                 0x14, 0,    0, 0, 0, 0, 4, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18,  //
                                 0x28, 0,    0, 0, 0, 0, 0, 0, 2, 0, 0, 0,    0, 0, 0, 0});
  EXPECT_EQ(Crc32c(pdu), 0xd9963a56u);
}

TEST(TfRecordTest, HasTheGoldenBytes) {
  // Payload "abc": CRC-32C 0x364b3fb7, rotated right by 15: 0x7f6e6c96, plus 0xa282ead8: 0x21f1576e.
  ASSERT_EQ(Crc32c("abc"), 0x364b3fb7u);
  const std::string record = TfRecord("abc");
  EXPECT_EQ(record.size(), 8 + 4 + 3 + 4u);
  EXPECT_EQ(record.substr(0, 8), Bytes({3, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(record.substr(12, 3), "abc");
  EXPECT_EQ(record.substr(15), Bytes({0x6e, 0x57, 0xf1, 0x21}));
}

TEST(TensorBoardWriterTest, WritesTheEventsOfTensorFlow) {
  const std::string folder = FreshFolder("golden") + "/tensorboard";  // does not exist, nor does its parent
  auto writer = TensorBoardWriter::Create(folder);
  ASSERT_TRUE(writer.ok()) << writer.status();
  const std::string path = (*writer)->path();
  EXPECT_THAT(path, testing::StartsWith(folder + "/events.out.tfevents."));
  const size_t start = std::filesystem::file_size(path);
  (*writer)->Scalar("a/b", 7, 0.5, 2.0);
  (*writer)->Flush();
  const absl::StatusOr<std::string> bytes = ReadFile(path);
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  // Event: 1 (double) = 2.0; 2 (varint) = 7; 5 (message, 12 bytes) = Summary: 1 (message, 10 bytes) = Value: 1 = "a/b",
  // 2 (float) = 0.5.
  const std::string event = Bytes({0x09, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x10, 7, 0x2a, 12, 0x0a, 10, 0x0a, 3}) + "a/b" +
                            Bytes({0x15, 0, 0, 0, 0x3f});
  EXPECT_EQ(bytes->substr(start), TfRecord(event));
}

TEST(TensorBoardWriterTest, ReadsBackWithZeroesAndAVersionInFront) {
  auto writer = TensorBoardWriter::Create(FreshFolder("back"));
  ASSERT_TRUE(writer.ok()) << writer.status();
  const std::string path = (*writer)->path();
  for (int step = 0; step < 300; ++step) (*writer)->Scalar("planner/reward_mean", step, step * 0.25, 1.7e9 + step);
  writer->reset();  // flushes
  const std::vector<proto::TensorBoardEvent> events = ReadEvents(path);
  ASSERT_EQ(events.size(), 301u);
  EXPECT_EQ(events[0].file_version(), "brain.Event:2");
  for (int step = 0; step < 300; ++step) {
    const proto::TensorBoardEvent& event = events[step + 1];
    EXPECT_EQ(event.step(), step);
    EXPECT_EQ(event.wall_time(), 1.7e9 + step);
    ASSERT_EQ(event.summary().value_size(), 1);
    EXPECT_EQ(event.summary().value(0).tag(), "planner/reward_mean");
    ASSERT_EQ(event.summary().value(0).value_case(), proto::TensorBoardSummary::Value::kSimpleValue);  // also for 0
    EXPECT_EQ(event.summary().value(0).simple_value(), step * 0.25f);
  }
}

TEST(TensorBoardWriterTest, NeverSharesAFileWithAnother) {
  const std::string folder = FreshFolder("two");
  auto first = TensorBoardWriter::Create(folder);
  auto second = TensorBoardWriter::Create(folder);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_NE((*first)->path(), (*second)->path());
}

TEST(TensorBoardWriterTest, AFolderThatCannotBeIsAnErrorThatNamesIt) {
  const std::string file = FreshFolder("file");
  ASSERT_TRUE(WriteFileAtomically(file, "not a folder").ok());
  const auto writer = TensorBoardWriter::Create(file + "/tensorboard");
  ASSERT_FALSE(writer.ok());
  EXPECT_THAT(std::string(writer.status().message()), testing::HasSubstr(file));
}

TEST(TensorBoardWriterTest, AFullDiskCostsTheCurvesAndNothingElse) {
  auto writer = TensorBoardWriter::Create(FreshFolder("full"));
  ASSERT_TRUE(writer.ok()) << writer.status();
  const std::string path = (*writer)->path();
  const auto size = std::filesystem::file_size(path);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);  // writes then fail with EFBIG
  const rlimit full{.rlim_cur = size, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
  (*writer)->Scalar("x", 1, 1, 1);
  (*writer)->Flush();  // fails: logged, and the file is given up
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  (*writer)->Scalar("x", 2, 1, 1);
  writer->reset();
  EXPECT_EQ(std::filesystem::file_size(path), size);
}

}  // namespace
}  // namespace tandem
