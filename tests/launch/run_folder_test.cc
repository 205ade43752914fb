#include "launch/run_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "absl/strings/match.h"
#include "base/file.h"
#include "tests/launch/temporary_folder.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

TEST(RunFolderTest, TwoRunsOfOneSecondHaveTwoFolders) {
  TemporaryFolder folder;
  const auto first = MakeRunFolder(folder.path() + "/runs", "quick", 1700000000);
  const auto second = MakeRunFolder(folder.path() + "/runs", "quick", 1700000000);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_TRUE(absl::StartsWith(*first, folder.path() + "/runs/quick-2023111")) << *first;
  EXPECT_EQ(*second, *first + "-2");
}

TEST(RunFolderTest, AChosenFolderHasToBeNewOrEmpty) {
  TemporaryFolder folder;
  EXPECT_TRUE(MakeChosenRunFolder(folder.path()).ok());
  EXPECT_TRUE(MakeChosenRunFolder(folder.path() + "/a/b").ok());
  EXPECT_THAT(MakeChosenRunFolder(folder.path()).status().message(), HasSubstr("the folder is not empty"));
  ASSERT_TRUE(WriteFileAtomically(folder.path() + "/file", "x").ok());
  EXPECT_THAT(MakeChosenRunFolder(folder.path() + "/file").status().message(), HasSubstr("this is a file"));
  EXPECT_THAT(MakeChosenRunFolder(folder.path() + "/file/below").status().message(), HasSubstr("cannot be made"));
}

TEST(RunFolderTest, TheRunKeepsItsOwnCopyOfTheTasks) {
  TemporaryFolder folder;
  ASSERT_TRUE(WriteFileAtomically(folder.path() + "/mine.jsonl", "{}\n").ok());
  ASSERT_TRUE(WriteFileAtomically(folder.path() + "/c.yaml",
                                  "environment: {tasks: mine.jsonl}\npolicies: {planner: , executor: }\n")
                  .ok());
  auto loaded = LoadConfig({.file = folder.path() + "/c.yaml", .sets = {}, .seed = std::nullopt});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const auto run = MakeChosenRunFolder(folder.path() + "/run");
  ASSERT_TRUE(run.ok());
  ASSERT_TRUE(FillRunFolder(*run, /*incarnation=*/0, &*loaded).ok());
  EXPECT_EQ(loaded->folder, *run);
  const auto again = LoadConfig({.file = ConfigFile(*run), .sets = {}, .seed = std::nullopt});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->config.environment().tasks(), "tasks.jsonl");
  EXPECT_EQ(*ReadFile(*run + "/tasks.jsonl"), "{}\n");
  EXPECT_EQ(*OpenRunFolder(*run), *run);
  EXPECT_THAT(OpenRunFolder(folder.path()).status().message(), HasSubstr("it has no config.yaml"));
}

TEST(RunFolderTest, AResumedRunTakesWhatTheCommandLineNamesFromWhereTheUserIs) {
  TemporaryFolder folder;
  const std::string run = folder.path() + "/run", base = "policies: {planner: , executor: }\n";
  ASSERT_TRUE(WriteFileAtomically(folder.path() + "/new.jsonl", "new\n").ok());
  ASSERT_TRUE(MakeChosenRunFolder(run).ok());
  ASSERT_TRUE(WriteFileAtomically(run + "/tasks.jsonl", "old\n").ok());
  ASSERT_TRUE(WriteFileAtomically(run + "/lag-planner.txt", "1\n").ok());
  ASSERT_TRUE(WriteFileAtomically(ConfigFile(run), base + "environment: {tasks: tasks.jsonl}\n"
                                                          "lag: {planner: {trace: lag-planner.txt}}\n")
                  .ok());
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  auto loaded = LoadConfig({.file = ConfigFile(run), .sets = {"environment.tasks=new.jsonl"}, .seed = std::nullopt});
  fs::current_path(before);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  ASSERT_TRUE(FillRunFolder(run, /*incarnation=*/1, &*loaded).ok());
  EXPECT_EQ(loaded->config.environment().tasks(), "tasks-1.jsonl");
  EXPECT_EQ(*ReadFile(run + "/tasks-1.jsonl"), "new\n");
  EXPECT_EQ(*ReadFile(run + "/tasks.jsonl"), "old\n") << "the incarnation before trained on it";
  EXPECT_EQ(loaded->config.lag().at("planner").trace(), "lag-planner.txt") << "the run's own";
}

TEST(RunFolderTest, TheClockGoesOnAfterTheLastWholeLine) {
  TemporaryFolder folder;
  EXPECT_EQ(LastTime(folder.path()), 0);
  ASSERT_TRUE(
      WriteFileAtomically(MetricsFile(folder.path()),
                          "{\"kind\":\"step\",\"time_s\":1.5}\n{\"kind\":\"step\",\"time_s\":2.5}\n{\"kind\":\"st")
          .ok());
  EXPECT_EQ(LastTime(folder.path()), 2.5);
}

TEST(RunFolderTest, APrivateFolderIsOursAloneAndIsRemoved) {
  std::string path;
  {
    const auto folder = PrivateFolder::Make();
    ASSERT_TRUE(folder.ok());
    path = folder->path();
    struct stat info {};
    ASSERT_EQ(stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0700u);
    ASSERT_TRUE(WriteFileAtomically(path + "/exchange", "").ok());
  }
  EXPECT_FALSE(fs::exists(path));
}

}  // namespace
}  // namespace tandem
