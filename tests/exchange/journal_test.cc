#include "exchange/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

class JournalTest : public ::testing::Test {
 protected:
  ~JournalTest() override { std::filesystem::remove_all(folder_); }

  static proto::JournalEvent Opening() {
    proto::JournalEvent event;
    event.mutable_opening()->set_run("run");
    return event;
  }
  static proto::JournalEvent GroupEvent(uint64_t ticket, const std::string& frame) {
    proto::Header header;
    header.mutable_group()->mutable_ticket()->set_id(ticket);
    proto::JournalEvent event;
    event.set_now_s(0.125);
    event.set_session(7);
    event.set_call_number(3);
    header.SerializeToString(event.mutable_call());
    event.add_frames(frame);
    return event;
  }
  std::vector<uint64_t> Append(const std::vector<proto::JournalEvent>& events) {
    absl::StatusOr<EventWriter> writer = EventWriter::Open(path_);
    EXPECT_TRUE(writer.ok()) << writer.status();
    std::vector<uint64_t> places;
    for (const proto::JournalEvent& event : events) places.push_back(*writer->Append(event));
    return places;
  }

  const std::string folder_ =
      testing::TempDir() + "journal_test_" + testing::UnitTest::GetInstance()->current_test_info()->name();
  const std::string path_ = JournalPath(folder_, 2);
};

TEST_F(JournalTest, EventsComeBackInOrderAndByPlace) {
  const std::string large(100'000, 'x');
  const auto first = Append({Opening(), GroupEvent(1, "small"), GroupEvent(2, large)});
  const auto second = Append({GroupEvent(3, "by another writer")});
  EXPECT_LT(std::filesystem::file_size(path_), 5000u);  // packed

  auto reader = EventReader::Open(path_);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->opening().event.opening().run(), "run");
  std::vector<uint64_t> places;
  while (true) {
    const auto entry = reader->Next();
    ASSERT_TRUE(entry.ok()) << entry.status();
    if (!*entry) break;
    places.push_back((*entry)->place);
    EXPECT_EQ((*entry)->event.SerializeAsString(), reader->ReadAt((*entry)->place)->SerializeAsString());
  }
  EXPECT_EQ(places, (std::vector<uint64_t>{first[1], first[2], second[0]}));

  const auto group = ReadGroup(path_, first[2]);
  ASSERT_TRUE(group.ok()) << group.status();
  EXPECT_EQ(group->header.ticket().id(), 2u);
  EXPECT_EQ(*group->frames.at(0), large);
  EXPECT_EQ(group->place, first[2]);
  EXPECT_THAT(std::string(ReadGroup(path_, first[0]).status().message()), HasSubstr("a group was expected"));
}

TEST_F(JournalTest, AJournalWithoutItsFirstRecordIsNone) {
  EXPECT_EQ(EventReader::Open(path_).status().code(), absl::StatusCode::kNotFound);
  Append({});
  EXPECT_EQ(EventReader::Open(path_).status().code(), absl::StatusCode::kNotFound);
  Append({GroupEvent(1, "")});
  EXPECT_EQ(EventReader::Open(path_).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(JournalTest, DamageInTheMiddleIsNamed) {
  const auto places = Append({Opening(), GroupEvent(1, "frame"), GroupEvent(2, "frame")});
  std::string bytes = *ReadFile(path_);
  bytes[places[1] + 30] ^= 1;
  ASSERT_TRUE(WriteFileAtomically(path_, bytes).ok());
  auto reader = EventReader::Open(path_);
  ASSERT_TRUE(reader.ok()) << reader.status();
  const absl::Status status = reader->Next().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat(path_, ": the record at byte ", places[1])));
}

}  // namespace
}  // namespace tandem
