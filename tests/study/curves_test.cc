#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "study/series.h"
#include "study/timeline.h"

namespace tandem {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr Field kFields[] = {
    {"mean", Bin::kMean}, {"sum", Bin::kSum}, {"max", Bin::kMax}, {"last", Bin::kLast}, {"absent", Bin::kMean}};

std::vector<Json> Records(int n) {
  std::vector<Json> records;
  for (int i = 1; i <= n; ++i) records.push_back({{"mean", i}, {"sum", i}, {"max", -i}, {"last", i}});
  return records;
}

TEST(ColumnsTest, ShortRunsKeepEveryRecord) {
  EXPECT_EQ(
      Columns(Records(3), kFields, 3),
      Json({{"per_point", 1}, {"mean", {1, 2, 3}}, {"sum", {1, 2, 3}}, {"max", {-1, -2, -3}}, {"last", {1, 2, 3}}}));
}

TEST(ColumnsTest, LongRunsAreBinnedFieldByField) {
  // Bins of 3, 3 and 1 records: means (1+2+3)/3 and (4+5+6)/3.
  EXPECT_EQ(
      Columns(Records(7), kFields, 3),
      Json({{"per_point", 3}, {"mean", {2, 5, 7}}, {"sum", {6, 15, 7}}, {"max", {-1, -4, -7}}, {"last", {3, 6, 7}}}));
}

TEST(ColumnsTest, AMissingZeroIsZeroAndANonFiniteValueShows) {
  const std::vector<Json> records = {{{"mean", 4}}, Json::object(), {{"mean", "NaN"}}, {{"mean", 1}}};
  EXPECT_EQ(Columns(records, kFields, 4)["mean"], Json({4, 0, nullptr, 1}));
  EXPECT_EQ(Columns(records, kFields, 2)["mean"], Json({2, nullptr}));
}

TEST(ColumnsTest, WhatNotEveryRecordKnowsIsTheMeanOfThoseThatDo) {
  constexpr Field kKnown[] = {{"mismatch", Bin::kMeanOfKnown}};
  const std::vector<Json> records = {{{"mismatch", 4}}, {{"mismatch", nullptr}}, {{"mismatch", nullptr}}};
  EXPECT_EQ(Columns(records, kKnown, 3)["mismatch"], Json({4, nullptr, nullptr}));
  EXPECT_EQ(Columns(records, kKnown, 2)["mismatch"], Json({4, nullptr}));
}

TEST(TimelineTest, BinsHaveARoundWidth) {
  EXPECT_EQ(Timeline(0, 100).width_s(), 0.5);
  EXPECT_EQ(Timeline(100, 100).width_s(), 1);
  EXPECT_EQ(Timeline(101, 100).width_s(), 2);
  EXPECT_EQ(Timeline(101, 100).bins(), 51u);
  EXPECT_EQ(Timeline(4000, 100).width_s(), 50);
}

TEST(TimelineTest, SpreadsARecordOverTheTimeItCovers) {
  const Timeline timeline(/*end_s=*/4, /*bins=*/4);  // of 1 s
  Timeline::Track track = timeline.NewTrack();
  timeline.Add(0.5, 2.5, /*rate=*/10, track);  // 5 + 10 + 5
  timeline.Add(2, 2.5, /*rate=*/30, track);    // + 15 in the third
  EXPECT_EQ(timeline.Total(track), Json({5, 10, 20, 0}));
  EXPECT_EQ(timeline.Mean(track), Json({10, 10, 20, nullptr}));  // the third: (5 + 15) over 0.5 + 0.5 s
}

TEST(TimelineTest, TheLastBinReachesNoFurtherThanTheRun) {
  const Timeline timeline(/*end_s=*/2.5, /*bins=*/3);
  ASSERT_EQ(timeline.width_s(), 1);
  Timeline::Track track = timeline.NewTrack();
  timeline.Add(0, 9, /*rate=*/8, track);
  EXPECT_EQ(timeline.Total(track), Json({8, 8, 4}));
  EXPECT_EQ(timeline.Mean(track), Json({8, 8, 8}));
}

TEST(TimelineTest, WhatIsOutsideOrNotFiniteIsIgnored) {
  const Timeline timeline(/*end_s=*/2, /*bins=*/2);
  Timeline::Track track = timeline.NewTrack();
  timeline.Add(-5, 0, 1, track);
  timeline.Add(2, 9, 1, track);
  timeline.Add(1, 0, 1, track);
  timeline.Add(0, 1, kNan, track);
  timeline.Add(kNan, 1, 1, track);
  timeline.Add(0, std::numeric_limits<double>::infinity(), 1, track);
  EXPECT_EQ(timeline.Total(track), Json({0, 0}));
}

}  // namespace
}  // namespace tandem
