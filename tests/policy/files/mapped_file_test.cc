#include "policy/files/mapped_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <utility>

#include "tests/policy/files/temporary_folder.h"

namespace tandem {
namespace {

TEST(MappedFileTest, ShowsTheBytesOfTheFile) {
  const TemporaryFolder folder;
  folder.Write("x", "tandem");
  const auto file = MappedFile::Open(folder.File("x"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->text(), "tandem");
  char middle[3];
  ASSERT_TRUE(file->ReadAt(2, std::as_writable_bytes(std::span(middle))).ok());
  EXPECT_EQ(std::string(middle, 3), "nde");
}

TEST(MappedFileTest, AnEmptyFileHasNoBytes) {
  const TemporaryFolder folder;
  folder.Write("x", "");
  const auto file = MappedFile::Open(folder.File("x"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE(file->bytes().empty());
}

TEST(MappedFileTest, BytesStayWhereTheyAreInAMove) {
  const TemporaryFolder folder;
  folder.Write("x", "first");
  folder.Write("y", "second");
  MappedFile first = MappedFile::Open(folder.File("x")).value();
  MappedFile second = MappedFile::Open(folder.File("y")).value();
  const std::byte* bytes = second.bytes().data();
  first = std::move(second);
  EXPECT_EQ(first.text(), "second");
  EXPECT_EQ(first.bytes().data(), bytes);
  const MappedFile third = std::move(first);
  EXPECT_EQ(third.text(), "second");
}

TEST(MappedFileTest, WhatIsNoFileIsNamed) {
  const TemporaryFolder folder;
  ASSERT_EQ(mkfifo(folder.File("pipe").c_str(), 0600), 0);
  const auto error = [&](const std::string& path) { return MappedFile::Open(path).status(); };
  EXPECT_EQ(error(folder.File("none")).code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(error(folder.File("none")).message()), testing::HasSubstr(folder.File("none")));
  EXPECT_THAT(std::string(error(folder.path()).message()), testing::HasSubstr("is not a regular file"));
  EXPECT_THAT(std::string(error(folder.File("pipe")).message()), testing::HasSubstr("is not a regular file"));
}

TEST(MappedFileTest, AFileThatIsCutShortLaterIsDataLoss) {
  const TemporaryFolder folder;
  folder.Write("x", std::string(100, 'x'));
  const MappedFile file = MappedFile::Open(folder.File("x")).value();
  std::filesystem::resize_file(folder.File("x"), 60);
  char bytes[50];
  EXPECT_TRUE(file.ReadAt(10, std::as_writable_bytes(std::span(bytes))).ok());
  const absl::Status status = file.ReadAt(11, std::as_writable_bytes(std::span(bytes)));
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("ends at byte 60: it was cut short"));
}

}  // namespace
}  // namespace tandem
