// `tandem replay` on runs of real processes at a bound above 0.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/file.h"
#include "exchange/journal.h"
#include "tests/system/one_process.h"
#include "tests/system/tandem_process.h"

namespace tandem {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int kStepsOfRun = 28;

// One asynchronous run for all that is tried, with workers, trainers and the exchange killed in its middle.
class ReplayTest : public ::testing::Test {
 protected:
  void SetUp() override {
    TandemProcess train({"train", "configs/quickstart.yaml", "--run-dir", Run(), "--set", "sft.steps=40", "--set",
                         "evaluation.episodes=50", "--set", "rollout.workers=2", "--set",
                         absl::StrCat("train.steps=", kStepsOfRun), "--set", "train.groups_per_step=4", "--set",
                         "train.group_size=8", "--set", "train.checkpoint_every=7"});
    const std::vector<std::string> victims = {"worker", "trainer", "exchange"};
    size_t killed = 0;
    while (const auto line = train.NextLine()) {
      const bool stepped = line->find(" step ") != std::string::npos && line->find("warm") == std::string::npos;
      if (!stepped || killed == victims.size()) continue;
      for (const pid_t pid : ProcessesWith({victims[killed], Run()})) kill(pid, SIGKILL);
      ++killed;
    }
    ASSERT_EQ(train.Wait(), 0) << train.said();
    ASSERT_EQ(killed, victims.size()) << train.said();
  }

  std::string Run() const { return scratch_.path() + "/run"; }
  static std::string Journal(const std::string& run) { return JournalPath(run, 0); }

  // A copy of the run, whose journal may be damaged.
  std::string Copy(const std::string& name) const {
    const std::string copy = scratch_.path() + "/" + name;
    std::filesystem::create_directories(copy + "/journal");
    for (const char* file : {"/config.yaml", "/incarnation", "/journal/0"}) {
      std::filesystem::copy_file(Run() + file, copy + file);
    }
    return copy;
  }

  void EveryTokenStepAndVersionIsTheSame();
  void TurnsOfTwoVersionsAreTheSame();
  void TheScheduleIsTrainedOnAnew();
  void TheFirstTokenThatDiffersIsNamed();
  void ACorruptJournalIsBadInput();
  void AJournalWithoutItsEndIsBadInput();
  void AnotherConfigurationIsBadInput();
  void ARunWithoutAJournalIsBadInput();

  const ScratchFolder scratch_;
};

void ReplayTest::EveryTokenStepAndVersionIsTheSame() {
  int steps = 0;
  double staleness = 0;
  for (const auto& step : MetricsOf(Run(), "step")) {
    staleness = std::max(staleness, step["staleness_mean"].get<double>());
    ++steps;
  }
  EXPECT_EQ(steps, 2 * kStepsOfRun);
  EXPECT_GT(staleness, 0.5) << "the run was not asynchronous";
  TandemProcess replay({"replay", Run()});
  EXPECT_EQ(replay.Wait(), 0) << replay.said();
  EXPECT_THAT(replay.said(),
              AllOf(HasSubstr("the same, bit for bit"), HasSubstr(absl::StrCat(2 * (kStepsOfRun + 1), " versions"))));
}

// How many turns two versions write is a matter of timing, unless a lag asks for them.
void ReplayTest::TurnsOfTwoVersionsAreTheSame() {
  const std::string run = scratch_.path() + "/mixed";
  TandemProcess train({"train", "configs/quickstart.yaml", "--run-dir", run, "--set", "sft.steps=40", "--set",
                       "evaluation.episodes=0", "--set", "train.steps=8", "--set", "train.groups_per_step=4", "--set",
                       "train.group_size=8", "--set", "lag.planner={uniform: [0, 3], switch_at: 3}"});
  ASSERT_EQ(train.Wait(), 0) << train.said();
  double mixed = 0;
  for (const auto& step : MetricsOf(run, "step")) mixed += step["mixed_version_turns"].get<double>();
  EXPECT_GT(mixed, 0) << "no turn was written by two versions";
  TandemProcess replay({"replay", run});
  EXPECT_EQ(replay.Wait(), 0) << replay.said();
  EXPECT_THAT(replay.said(), HasSubstr("the same, bit for bit"));
}

// With the loss of the run, what is learned on its schedule is what the run learned; with another one it is not.
void ReplayTest::TheScheduleIsTrainedOnAnew() {
  const auto learned = [](const std::string& run) {
    std::vector<std::string> lines;
    for (const auto& step : MetricsOf(run, "step")) {
      lines.push_back(absl::StrCat(step["policy"].dump(), step["step"].dump(), " loss ", step["loss"].dump(),
                                   " reward ", step["reward_mean"].dump()));
    }
    for (const auto& eval : MetricsOf(run, "eval")) lines.push_back(eval["success"].dump());
    return lines;
  };
  const auto staleness = [](const std::string& run) {
    std::map<std::string, std::string> ages;  // tokens by age, of the steps that every loss trains on alike
    for (const auto& step : MetricsOf(run, "step")) {
      if (step["step"] == 1) ages[step["policy"]] = step["staleness_histogram"].dump();
    }
    return ages;
  };
  const std::string same = scratch_.path() + "/same", grpo = scratch_.path() + "/grpo";
  TandemProcess again({"replay", Run(), "--schedule-only", "--run-dir", same});
  EXPECT_EQ(again.Wait(), 0) << again.said();
  EXPECT_EQ(learned(same), learned(Run()));
  TandemProcess other(
      {"replay", Run(), "--schedule-only", "--set", "loss=grpo", "--set", "loss.clip=0.1", "--run-dir", grpo});
  EXPECT_EQ(other.Wait(), 0) << other.said();
  EXPECT_EQ(learned(grpo).size(), learned(Run()).size());
  EXPECT_NE(learned(grpo), learned(Run()));
  EXPECT_EQ(staleness(grpo), staleness(Run()));
  EXPECT_TRUE(FindNewestCheckpoint(grpo, "planner").ok());
  EXPECT_THAT(*ReadFile(grpo + "/report.html"), HasSubstr("grpo"));

  TandemProcess schedule({"replay", Run(), "--schedule-only", "--set", "train.group_size=4", "--run-dir", grpo + "2"});
  EXPECT_EQ(schedule.Wait(), 2) << schedule.said();
  EXPECT_THAT(schedule.said(), AllOf(HasSubstr("group_size"), HasSubstr("only loss, optimizer and advantage")));
  EXPECT_FALSE(std::filesystem::exists(grpo + "2"));
}

void ReplayTest::TheFirstTokenThatDiffersIsNamed() {
  const std::string copy = Copy("other_token");
  auto reader = EventReader::Open(Journal(Run()));
  ASSERT_TRUE(reader.ok()) << reader.status();
  std::filesystem::remove(Journal(copy));
  auto writer = EventWriter::Open(Journal(copy));
  ASSERT_TRUE(writer.ok() && writer->Append(reader->opening().event).ok());
  uint64_t changed = 0;
  while (true) {
    auto entry = reader->Next();
    ASSERT_TRUE(entry.ok()) << entry.status();
    if (!*entry) break;
    proto::JournalEvent& event = (*entry)->event;
    proto::Header header;
    header.ParseFromString(event.call());
    if (changed == 0 && header.has_group() && header.group().ticket().purpose() == proto::TRAIN) {
      changed = header.group().ticket().id();
      // The planner's first token of the first episode: behind its prompt.
      std::string& ids = *event.mutable_frames(kIds);
      const uint32_t place = header.group().episodes(0).turns(0).prompt_tokens();
      int32_t id = 0;
      std::memcpy(&id, ids.data() + place * sizeof id, sizeof id);
      id = id == 3 ? 4 : 3;
      std::memcpy(ids.data() + place * sizeof id, &id, sizeof id);
    }
    ASSERT_TRUE(writer->Append(event).ok());
  }
  ASSERT_GT(changed, 0u);
  TandemProcess replay({"replay", copy});
  EXPECT_EQ(replay.Wait(), 1) << replay.said();
  EXPECT_THAT(replay.said(), HasSubstr(absl::StrCat("different: ticket ", changed,
                                                    ", episode 0, turn 0 (planner, node 0): token 0 (")));
}

void ReplayTest::ACorruptJournalIsBadInput() {
  const std::string copy = Copy("corrupt");
  std::string bytes = *ReadFile(Journal(copy));
  bytes[bytes.size() / 2] ^= 1;
  ASSERT_TRUE(WriteFileAtomically(Journal(copy), bytes).ok());
  TandemProcess replay({"replay", copy});
  EXPECT_EQ(replay.Wait(), 2) << replay.said();
  EXPECT_THAT(replay.said(), AllOf(HasSubstr(Journal(copy)), HasSubstr("is damaged")));
}

// A crash may leave an unfinished record, which ends a journal; but then the run has no later checkpoint.
void ReplayTest::AJournalWithoutItsEndIsBadInput() {
  const std::string copy = Copy("cut");
  std::filesystem::copy(Run() + "/checkpoints", copy + "/checkpoints", std::filesystem::copy_options::recursive);
  std::filesystem::resize_file(Journal(copy), std::filesystem::file_size(Journal(copy)) / 3);
  TandemProcess replay({"replay", copy});
  EXPECT_EQ(replay.Wait(), 2) << replay.said();
  EXPECT_THAT(replay.said(), AllOf(HasSubstr(Journal(copy)), HasSubstr("the journal was cut short")));
}

void ReplayTest::AnotherConfigurationIsBadInput() {
  const std::string copy = Copy("changed");
  std::string config = *ReadFile(copy + "/config.yaml");
  const size_t at = config.find("seed:");
  ASSERT_NE(at, std::string::npos);
  config.replace(at, 6, "seed: 4");
  ASSERT_TRUE(WriteFileAtomically(copy + "/config.yaml", config).ok());
  TandemProcess replay({"replay", copy});
  EXPECT_EQ(replay.Wait(), 2) << replay.said();
  EXPECT_THAT(replay.said(), HasSubstr("it was changed after the run"));
}

void ReplayTest::ARunWithoutAJournalIsBadInput() {
  const std::string copy = Copy("none");
  std::filesystem::remove(Journal(copy));
  TandemProcess replay({"replay", copy});
  EXPECT_EQ(replay.Wait(), 2) << replay.said();
  EXPECT_THAT(replay.said(), HasSubstr(Journal(copy)));
}

TEST_F(ReplayTest, ARunIsRepeatedBitForBitOrTheDifferenceIsNamed) {
  EveryTokenStepAndVersionIsTheSame();
  TurnsOfTwoVersionsAreTheSame();
  TheScheduleIsTrainedOnAnew();
  TheFirstTokenThatDiffersIsNamed();
  ACorruptJournalIsBadInput();
  AJournalWithoutItsEndIsBadInput();
  AnotherConfigurationIsBadInput();
  ARunWithoutAJournalIsBadInput();
}

// Caches that new weights make an engine read in anew, and that it gives back for want of memory.
TEST(ReplayOfDroppedCachesTest, TheyAreDroppedAgain) {
  const ScratchFolder scratch;
  const std::string run = scratch.path() + "/run";
  TandemProcess train({"train", "configs/quickstart.yaml", "--run-dir", run, "--set", "rollout.kv=recompute", "--set",
                       "rollout.kv_cache_mb=1", "--set", "sft.steps=10", "--set", "train.steps=12", "--set",
                       "evaluation.episodes=0"});
  ASSERT_EQ(train.Wait(), 0) << train.said();
  EXPECT_THAT(*ReadFile(run + "/episodes.jsonl"), HasSubstr("\"restarts\"")) << "no cache was dropped";
  TandemProcess replay({"replay", run});
  EXPECT_EQ(replay.Wait(), 0) << replay.said();
  EXPECT_THAT(replay.said(), HasSubstr("the same, bit for bit"));
}

}  // namespace
}  // namespace tandem
