// Ledger, ticket book, stages, warm start, evaluation, overlap, attendance.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "exchange/attendance.h"
#include "exchange/evaluation.h"
#include "exchange/ledger.h"
#include "exchange/overlap.h"
#include "exchange/stages.h"
#include "exchange/ticket_book.h"
#include "exchange/warm_start.h"
#include "tests/exchange/fixtures.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

TEST(LedgerTest, EveryUnitIsSomewhere) {
  Ledger ledger("p");
  ledger.Issue(8);
  ledger.Arrive(5);
  ledger.Train(2);
  ledger.RejectBuffered(1, "stale");
  ledger.RejectInFlight(2, "dropped");
  const proto::LedgerMetrics m = ledger.Metrics();
  EXPECT_EQ(m.issued(), 8u);
  EXPECT_EQ(m.trained(), 2u);
  EXPECT_EQ(m.in_flight(), 1u);  // 8 - 5 - 2
  EXPECT_EQ(m.buffered(), 2u);   // 5 - 2 - 1
  EXPECT_EQ(m.rejected(), 3u);
  EXPECT_EQ(m.rejected_by_reason().at("stale"), 1u);
  EXPECT_EQ(m.rejected_by_reason().at("dropped"), 2u);
}

TEST(LedgerDeathTest, TrainingOnWhatIsNotThereIsABug) {
  Ledger ledger("p");
  ledger.Issue(1);
  EXPECT_DEATH(ledger.Train(1), "bug");
}

class TicketBookTest : public ::testing::Test {
 protected:
  proto::Ticket Issue(uint64_t holder) {
    proto::Ticket ticket;
    ticket.set_episodes(4);
    return book_.Issue(ticket, holder, /*now=*/1);
  }
  TicketBook::Verdict Arrive(const proto::Ticket& ticket) { return book_.Arrive(ticket, &ticket_, &issued_s_); }
  static bool All(const proto::Ticket&) { return true; }

  TicketBook book_{/*incarnation=*/2};
  proto::Ticket ticket_;
  double issued_s_ = 0;
};

TEST_F(TicketBookTest, TheFirstCompleteAttemptWinsWhicheverItIs) {
  const proto::Ticket first = Issue(7);
  EXPECT_EQ(book_.Lose(7, All).size(), 1u);
  const proto::Ticket second = *book_.Reissue(8);
  EXPECT_EQ(second.id(), first.id());
  EXPECT_EQ(second.attempt(), 1u);
  EXPECT_EQ(Arrive(first), TicketBook::Verdict::kAccepted);  // it was not dead after all
  EXPECT_EQ(ticket_.episodes(), 4u);
  EXPECT_EQ(issued_s_, 1);
  EXPECT_EQ(Arrive(second), TicketBook::Verdict::kDuplicate);
  EXPECT_EQ(book_.out(), 0u);
}

TEST_F(TicketBookTest, ALateAttemptSparesTheRepetition) {
  const proto::Ticket first = Issue(7);
  book_.Lose(7, All);
  EXPECT_EQ(Arrive(first), TicketBook::Verdict::kAccepted);
  EXPECT_FALSE(book_.Reissue(8).has_value());
}

TEST_F(TicketBookTest, OtherIncarnationsAndUnknownTicketsAreOrphaned) {
  proto::Ticket ticket = Issue(7);
  ticket.set_incarnation(1);
  EXPECT_EQ(Arrive(ticket), TicketBook::Verdict::kOrphaned);
  ticket.set_incarnation(2);
  ticket.set_id(99);
  EXPECT_EQ(Arrive(ticket), TicketBook::Verdict::kOrphaned);
}

TEST_F(TicketBookTest, OnlyTheLostWorkersTicketsAreIssuedAgain) {
  Issue(7);
  Issue(8);
  const proto::Ticket third = Issue(7);
  book_.Lose(7, [&](const proto::Ticket& ticket) { return ticket.id() == third.id(); });
  EXPECT_EQ(book_.out(), 3u);
  EXPECT_EQ(book_.Reissue(9)->id(), third.id());
  EXPECT_FALSE(book_.Reissue(9).has_value());
  EXPECT_EQ(book_.holders(), (std::map<uint64_t, uint32_t>{{8, 1}, {9, 1}}));
}

TEST(StagesTest, GoesThroughAllStages) {
  Stages stages(proto::Config(), {});
  EXPECT_EQ(stages.stage(), Stage::kSft);
  EXPECT_EQ(stages.Next(), Stage::kEvalAfterSft);
  EXPECT_EQ(stages.Next(), Stage::kTrain);
  EXPECT_EQ(stages.Next(), Stage::kEvalFinal);
  EXPECT_EQ(stages.Next(), Stage::kFinished);
}

TEST(StagesTest, ARunResumedInTrainingDoesNotEvaluateTheWarmStartAgain) {
  Stages stages(proto::Config(), {{"p", {proto::TRAIN, 20}}, {"q", {proto::SFT, 30}}});
  EXPECT_EQ(stages.first_version("p"), 20u);
  EXPECT_EQ(stages.first_sft_step("p"), proto::Config().sft().steps());
  EXPECT_EQ(stages.first_version("q"), 0u);
  EXPECT_EQ(stages.first_sft_step("q"), 30u);
  EXPECT_EQ(stages.Next(), Stage::kTrain);
}

TEST(StagesTest, NoEpisodesNoEvaluation) {
  proto::Config config;
  config.mutable_evaluation()->set_episodes(0);
  Stages stages(config, {});
  EXPECT_EQ(stages.Next(), Stage::kTrain);
  EXPECT_EQ(stages.Next(), Stage::kFinished);
}

TEST(WarmStartTest, BatchesDoNotDependOnTheOrderOfArrival) {
  WarmStart warm(/*steps=*/2, /*episodes_per_step=*/2, {{"p", 0}, {"q", 1}});
  for (uint64_t i = 0; i < 4; ++i) {
    ASSERT_EQ(warm.Next(), i);
    warm.Take(i);
  }
  EXPECT_EQ(warm.Next(), std::nullopt);
  for (uint64_t i : {3, 0, 2}) warm.Arrive(i, MakeGroup(i, "p", {}));
  EXPECT_FALSE(warm.Batch(0).has_value());
  EXPECT_EQ(warm.MissingOf(0), 1u);
  EXPECT_EQ((*warm.Batch(1))[0]->header.ticket().id(), 2u);
  warm.Arrive(1, MakeGroup(1, "p", {}));
  EXPECT_EQ((*warm.Batch(0))[1]->header.ticket().id(), 1u);
  EXPECT_FALSE(warm.Finish("p", 1));
  EXPECT_TRUE(warm.Finish("p", 0));
  EXPECT_FALSE(warm.Wanted("p", 0));
  EXPECT_TRUE(warm.Finish("q", 1));
  EXPECT_TRUE(warm.Finish("p", 1));
  EXPECT_EQ(warm.ledger("p").trained(), 4u);
  EXPECT_EQ(warm.ledger("q").issued(), 2u);  // it was resumed after step 0
  EXPECT_EQ(warm.ledger("q").trained(), 2u);
}

TEST(WarmStartTest, TheFastestPolicyIsAFewStepsAhead) {
  WarmStart warm(100, 1, {{"p", 0}});
  for (uint32_t i = 0; i < WarmStart::kAhead; ++i) warm.Take(*warm.Next());
  EXPECT_EQ(warm.Next(), std::nullopt);
  warm.Arrive(0, MakeGroup(0, "p", {}));
  EXPECT_TRUE(warm.Finish("p", 0));
  EXPECT_EQ(warm.Next(), uint64_t{WarmStart::kAhead});
}

proto::Episode Measured(float success, float executed, float right) {
  proto::Episode episode;
  const auto add = [&](const char* name, float value) {
    proto::NamedValue* measure = episode.add_measures();
    measure->set_name(name);
    measure->set_value(value);
  };
  add("success", success);
  add("plan_valid", 1);
  add("steps_executed", executed);
  add("steps_right", right);
  add("tokens.planner", 10);
  return episode;
}

TEST(EvaluationTest, AveragesEpisodesAndTheStepsThatWereExecuted) {
  Evaluation evaluation("final", 0.5);
  evaluation.Add(Measured(1, 3, 3));
  evaluation.Add(Measured(0, 1, 0));
  const proto::EvalMetrics m = evaluation.Metrics();
  EXPECT_EQ(m.stage(), "final");
  EXPECT_EQ(m.temperature(), 0.5);
  EXPECT_EQ(m.episodes(), 2u);
  EXPECT_EQ(m.success(), 0.5);
  EXPECT_EQ(m.plan_valid(), 1);
  EXPECT_EQ(m.plan_right(), 0);
  EXPECT_EQ(m.executor_step_accuracy(), 0.75);  // 3 of 4 steps
  EXPECT_EQ(m.tokens().at("planner"), 10);
  EXPECT_EQ(Evaluation("final", 1).Metrics().success(), 0);
}

TEST(OverlapTest, CountsOnlyTheTimeInWhichBothGoOn) {
  Overlap overlap;
  overlap.Update(5, true, true);  // before the start: nothing
  overlap.Start(10, /*generating=*/true, /*training=*/false);
  overlap.Update(12, true, true);
  overlap.Update(15, false, true);
  overlap.Stop(20);
  overlap.Update(30, true, true);
  const proto::OverlapMetrics m = overlap.Metrics();
  EXPECT_EQ(m.wall_s(), 10);
  EXPECT_EQ(m.generating_s(), 5);  // 10 to 15
  EXPECT_EQ(m.training_s(), 8);    // 12 to 20
  EXPECT_EQ(m.share(), 0.3);       // 12 to 15
}

class AttendanceTest : public ::testing::Test {
 protected:
  static proto::Config TwoRanks() {
    proto::Config config;
    (*config.mutable_policies())["executor"].set_ranks(2);
    return config;
  }
  void Join(double now, uint64_t session, proto::PeerKind kind, uint32_t rank = 0) {
    proto::Hello hello;
    hello.set_kind(kind);
    hello.set_name(kind == proto::WORKER ? "worker-0" : "trainer-executor-0");
    if (kind == proto::TRAINER) hello.set_policy("executor");
    hello.set_rank(rank);
    attendance_.Joined(now, session, hello);
  }
  std::string Health(double now) { return std::string(attendance_.Health(now).message()); }

  Attendance attendance_{TwoRanks(), /*began=*/100};
};

TEST_F(AttendanceTest, NamesWhoIsMissing) {
  Join(101, 1, proto::WORKER);
  Join(101, 2, proto::TRAINER);
  EXPECT_EQ(Health(129), "");
  EXPECT_EQ(Health(130), "no trainer of policy executor (rank 1) has joined within 30 s");
  Join(131, 3, proto::TRAINER, /*rank=*/1);
  EXPECT_EQ(Health(131), "");
  attendance_.Gone(140, 2, "was lost (silent for 10 s)");
  EXPECT_EQ(Health(169), "");
  EXPECT_THAT(Health(170),
              HasSubstr("trainer-executor-0 was lost (silent for 10 s), and no trainer of policy executor"));
  attendance_.Release("executor");
  EXPECT_EQ(Health(170), "");
  attendance_.Gone(170, 1, "has left");
  EXPECT_THAT(Health(200), HasSubstr("worker-0 has left, and no worker has joined since"));
}

TEST_F(AttendanceTest, AWorkerThatComesBackAsAnotherSessionIsThere) {
  Join(101, 1, proto::WORKER);
  Join(102, 2, proto::WORKER);
  attendance_.Gone(102, 1, "was lost (joined again)");
  attendance_.Release("executor");
  EXPECT_EQ(Health(1000), "");
}

TEST_F(AttendanceTest, TrainersThatAreConnectedMustBeToldAndAllMustLeave) {
  Join(101, 1, proto::WORKER);
  Join(101, 2, proto::TRAINER);
  EXPECT_FALSE(attendance_.TrainersTold());
  attendance_.Told(2);
  EXPECT_TRUE(attendance_.TrainersTold());
  EXPECT_FALSE(attendance_.NobodyHere());
  attendance_.Gone(102, 2, "has left");
  EXPECT_FALSE(attendance_.NobodyHere());
  attendance_.Gone(102, 1, "has left");
  EXPECT_TRUE(attendance_.NobodyHere());
}

}  // namespace
}  // namespace tandem
