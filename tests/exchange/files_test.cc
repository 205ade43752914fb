// metrics.jsonl and episodes.jsonl.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "exchange/metrics_writer.h"
#include "exchange/sample_episodes.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class FilesTest : public ::testing::Test {
 protected:
  FilesTest() {
    char name[] = "/tmp/tandem-files-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~FilesTest() override { std::filesystem::remove_all(folder_); }
  std::vector<std::string> Lines(const std::string& file) {
    return absl::StrSplit(*ReadFile(folder_ + "/" + file), '\n', absl::SkipEmpty());
  }

  std::string folder_;
};

TEST(MetricsLineTest, HasEveryFieldUnderItsNameAsANumber) {
  proto::LedgerMetrics m;
  m.set_policy("plan\"ner");
  m.set_issued(7);
  (*m.mutable_rejected_by_reason())["stale"] = 2;
  (*m.mutable_rejected_by_reason())["dropped"] = 1;
  EXPECT_EQ(MetricsLine("ledger", m, 1.5),
            "{\"kind\":\"ledger\",\"time_s\":1.500,\"policy\":\"plan\\\"ner\",\"issued\":7,\"trained\":0,"
            "\"in_flight\":0,\"buffered\":0,\"rejected\":0,\"rejected_by_reason\":{\"dropped\":1,\"stale\":2},"
            "\"duplicates_total\":0,\"reissued_total\":0}\n");
}

TEST(MetricsLineTest, WhatIsNotFiniteIsNull) {
  proto::StepMetrics m;
  m.set_loss(std::nan(""));
  m.set_kl(0.1);
  m.add_staleness_histogram(3);
  m.add_staleness_histogram(1);
  const std::string line = MetricsLine("step", m, 0);
  EXPECT_THAT(line, HasSubstr("\"loss\":null"));
  EXPECT_THAT(line, HasSubstr("\"kl\":0.1,"));
  EXPECT_THAT(line, HasSubstr("\"staleness_histogram\":[3,1]"));
}

TEST_F(FilesTest, MetricsAreAppendedAndMirrored) {
  for (uint32_t step : {1, 2}) {
    auto writer = MetricsWriter::Create(folder_);
    ASSERT_TRUE(writer.ok()) << writer.status();
    proto::StepMetrics m;
    m.set_policy("planner");
    m.set_step(step);
    m.set_loss(0.25);
    (*writer)->Write("step", m, step);
    proto::EvalMetrics eval;
    eval.set_stage("final");
    (*writer)->Write("eval", eval, step);
    EXPECT_EQ(Lines("metrics.jsonl").size(), 2 * step);  // at once
  }
  EXPECT_THAT(Lines("metrics.jsonl")[2],
              StartsWith("{\"kind\":\"step\",\"time_s\":2.000,\"policy\":\"planner\",\"step\":2"));
  std::string events;
  for (const auto& file : std::filesystem::directory_iterator(folder_ + "/tensorboard"))
    events += *ReadFile(file.path());
  EXPECT_THAT(events, HasSubstr("planner/loss"));
  EXPECT_THAT(events, HasSubstr("eval final/success"));
}

TEST_F(FilesTest, AFolderThatIsNotThereIsNamed) {
  EXPECT_THAT(std::string(MetricsWriter::Create(folder_ + "/none").status().message()),
              HasSubstr(folder_ + "/none/metrics.jsonl: No such file"));
  EXPECT_FALSE(SampleEpisodes::Create(folder_ + "/none", 1).ok());
}

proto::Group TextGroup(uint64_t ticket, proto::Purpose purpose, bool mixed) {
  proto::Group group;
  group.mutable_ticket()->set_id(ticket);
  group.mutable_ticket()->set_purpose(purpose);
  proto::Turn* turn = group.add_episodes()->add_turns();
  turn->add_version_runs()->set_count(1);
  if (mixed) turn->add_version_runs()->set_count(1);
  turn->add_output_pieces("A=3+4;");
  return group;
}

TEST_F(FilesTest, SamplesStayFewAndPreferMixedTurns) {
  auto samples = SampleEpisodes::Create(folder_, /*train_steps=*/600);
  ASSERT_TRUE(samples.ok());
  for (uint32_t step = 0; step < 600; ++step) {
    for (int i = 0; i < 20; ++i) (*samples)->Look(TextGroup(step, proto::TRAIN, i % 2 == 0), step, step);
  }
  for (int i = 0; i < 1000; ++i) (*samples)->Look(TextGroup(i, proto::EVAL, false), 600, 600);
  (*samples)->Look(proto::Group(), 0, 0);
  const auto lines = Lines("episodes.jsonl");
  // Every 10th step: 3 mixed and 2 others; and 40 of the evaluation.
  EXPECT_EQ(lines.size(), 60 * 5 + 40u);
  EXPECT_THAT(lines[0],
              StartsWith("{\"ticket\":0,\"purpose\":\"train\",\"time_s\":0.000,\"step_hint\":0,\"episode\":{"));
  EXPECT_THAT(lines[0], HasSubstr("\"output_pieces\":[\"A=3+4;\"]"));
  EXPECT_THAT(lines[299], HasSubstr("\"step_hint\":590"));
  EXPECT_THAT(lines[339], HasSubstr("\"purpose\":\"eval\""));
}

}  // namespace
}  // namespace tandem
