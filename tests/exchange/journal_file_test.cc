#include "exchange/journal_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <vector>

#include "base/file.h"
#include "base/random.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

class JournalFileTest : public ::testing::Test {
 protected:
  ~JournalFileTest() override { std::remove(path_.c_str()); }

  void Append(const std::vector<std::string>& payloads) {
    absl::StatusOr<JournalWriter> writer = JournalWriter::Open(path_);
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (const std::string& payload : payloads) ASSERT_TRUE(writer->Append(++kind_, payload).ok());
    EXPECT_EQ(writer->bytes(), ReadFile(path_)->size());
  }

  // The payloads of all good records; their kinds count from 1.
  std::vector<std::string> Read() {
    absl::StatusOr<JournalReader> reader = JournalReader::Open(path_);
    EXPECT_TRUE(reader.ok()) << reader.status();
    std::vector<std::string> payloads;
    while (true) {
      const auto record = reader->Next();
      error_ = record.status();
      if (!record.ok() || !*record) break;
      payloads.push_back((*record)->payload);
      EXPECT_EQ((*record)->kind, payloads.size());
    }
    cut_short_ = reader->cut_short();
    return payloads;
  }

  void Write(const std::string& bytes) { ASSERT_TRUE(WriteFileAtomically(path_, bytes).ok()); }

  const std::string path_ =
      testing::TempDir() + "journal_file_test_" + testing::UnitTest::GetInstance()->current_test_info()->name();
  uint32_t kind_ = 0;
  bool cut_short_ = false;
  absl::Status error_;
};

TEST_F(JournalFileTest, WhatWasAppendedIsRead) {
  Append({"one", "", std::string(100'000, 'x')});
  Append({"by another writer"});
  EXPECT_EQ(Read(), (std::vector<std::string>{"one", "", std::string(100'000, 'x'), "by another writer"}));
  EXPECT_FALSE(cut_short_);
}

// Wherever a process dies in the middle of an append.
TEST_F(JournalFileTest, AJournalThatWasCutAtAnyByteEndsAtTheLastGoodRecordAndGoesOnFromThere) {
  const std::vector<std::string> payloads = {"first", "second, longer", "", "fourth"};
  Append(payloads);
  const std::string whole = *ReadFile(path_);
  std::vector<size_t> ends = {12};  // of the file's head and of each record
  for (const std::string& payload : payloads) ends.push_back(ends.back() + 24 + payload.size());
  ASSERT_EQ(ends.back(), whole.size());
  for (size_t bytes = 12; bytes <= whole.size(); ++bytes) {
    SCOPED_TRACE(testing::Message() << "cut to " << bytes << " bytes");
    Write(whole.substr(0, bytes));
    size_t good = 0;
    while (good < payloads.size() && ends[good + 1] <= bytes) ++good;
    EXPECT_EQ(Read(), std::vector<std::string>(payloads.begin(), payloads.begin() + good));
    EXPECT_TRUE(error_.ok()) << error_;
    EXPECT_EQ(cut_short_, bytes != ends[good]);
    kind_ = static_cast<uint32_t>(good);
    Append({"goes on"});
    EXPECT_EQ(Read().back(), "goes on");
    EXPECT_FALSE(cut_short_);
  }
}

TEST_F(JournalFileTest, ADamagedRecordInTheMiddleIsAnErrorThatNamesItsPlace) {
  Append({"first", "second", "third"});
  const std::string whole = *ReadFile(path_);
  RandomStream random(1);
  for (int i = 0; i < 200; ++i) {
    // A flipped bit anywhere in "second", which begins at 12 + 24 + 5 = 41.
    std::string damaged = whole;
    const size_t at = 41 + random.Below(24 + 6);
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << random.Below(8)));
    Write(damaged);
    EXPECT_EQ(Read(), std::vector<std::string>{"first"}) << "byte " << at;
    EXPECT_EQ(error_.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(error_.message()), HasSubstr("the record at byte 41 is damaged"));
    EXPECT_EQ(JournalWriter::Open(path_).status().code(), absl::StatusCode::kDataLoss);
    EXPECT_EQ(*ReadFile(path_), damaged);  // nothing is overwritten
  }
}

TEST_F(JournalFileTest, ADamagedLastRecordIsOneThatWasCutShort) {
  Append({"first", "second"});
  std::string bytes = *ReadFile(path_);
  bytes.back() ^= 1;
  Write(bytes);
  EXPECT_EQ(Read(), std::vector<std::string>{"first"});
  EXPECT_TRUE(cut_short_);
}

TEST_F(JournalFileTest, WhatIsNoJournalIsNotTouched) {
  EXPECT_EQ(JournalReader::Open(path_ + "-absent").status().code(), absl::StatusCode::kNotFound);
  Write("a file of another kind");
  EXPECT_EQ(JournalReader::Open(path_).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(JournalWriter::Open(path_).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(*ReadFile(path_), "a file of another kind");
  Write(std::string("TNDMJRNL\x09\0\0\0", 12));
  const absl::Status status = JournalWriter::Open(path_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("a journal of format 9; this build reads format 1"));
}

TEST_F(JournalFileTest, CanBeReadWhileItIsWritten) {
  absl::StatusOr<JournalWriter> writer = JournalWriter::Open(path_);
  ASSERT_TRUE(writer.ok());
  absl::StatusOr<JournalReader> reader = JournalReader::Open(path_);
  ASSERT_TRUE(reader.ok());
  for (const std::string payload : {"one", "two"}) {
    EXPECT_FALSE(reader->Next()->has_value());
    ASSERT_TRUE(writer->Append(7, payload).ok());
    EXPECT_EQ((*reader->Next())->payload, payload);
  }
}

}  // namespace
}  // namespace tandem
