#include "exchange/exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/digest.h"

namespace tandem {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Recorder final : public Outlet {
 public:
  uint64_t Journal(const proto::JournalEvent& event) override {
    journal.push_back(event);
    return journal.size() - 1;
  }
  GroupPtr ReadBack(uint64_t place) override {
    proto::Header header;
    if (place >= journal.size() || !header.ParseFromString(journal[place].call())) return nullptr;
    auto group = std::make_shared<ArrivedGroup>(ArrivedGroup{header.group(), {}, place});
    for (const std::string& frame : journal[place].frames()) group->frames.push_back(wire::MakeFrame(frame));
    return group;
  }
  void KeepWeights(const std::string& policy, const std::vector<wire::Frame>& chunks) override {
    kept[policy] = chunks;
  }
  std::vector<wire::Frame> KeptWeights(const std::string& policy) override { return kept[policy]; }
  void Reply(wire::SessionId, uint64_t call, proto::Header header, std::vector<wire::Frame>) override {
    ASSERT_TRUE(replies.emplace(call, std::move(header)).second) << "answered twice";
  }
  void Missing(wire::SessionId, uint64_t call, const std::string& text) override { missing[call] = text; }
  void Announce(const proto::Announcement& announcement) override { announcements.push_back(announcement); }
  void Metrics(std::string_view kind, const google::protobuf::Message& values, double) override {
    lines.push_back(std::string(kind) + " " + values.ShortDebugString());
  }
  void Sample(const proto::Group&, uint32_t, double) override { ++samples; }
  void Inform(const std::string&) override {}
  void Warn(const std::string& line) override { warnings.push_back(line); }

  std::vector<proto::JournalEvent> journal;
  std::map<std::string, std::vector<wire::Frame>> kept;
  std::map<uint64_t, proto::Header> replies;
  std::map<uint64_t, std::string> missing;
  std::vector<proto::Announcement> announcements;
  std::vector<std::string> lines, warnings;
  int samples = 0;
};

// One policy, 2 groups of 2 episodes a step, 2 steps, bound 0; no warm start and no evaluation unless a test says so.
class ExchangeTest : public ::testing::Test {
 protected:
  static constexpr wire::SessionId kWorker = 1, kRank0 = 2, kRank1 = 3, kOther = 4;

  ExchangeTest() {
    options_.config.set_seed(5);
    (*options_.config.mutable_policies())["solo"].mutable_staleness()->set_bound(0);
    options_.config.mutable_sft()->set_steps(0);
    options_.config.mutable_evaluation()->set_episodes(0);
    options_.config.mutable_train()->set_steps(2);
    options_.config.mutable_train()->set_groups_per_step(2);
    options_.config.mutable_train()->set_group_size(2);
    options_.run_name = "run";
  }
  void Start() {
    exchange_.emplace(options_, &out_);
    Join(kWorker, proto::WORKER, 0);
    Join(kRank0, proto::TRAINER, 0);
    Join(kRank1, proto::TRAINER, 1);
  }
  void Join(wire::SessionId session, proto::PeerKind kind, uint32_t rank) {
    proto::Hello hello;
    hello.set_kind(kind);
    hello.set_name(kind == proto::WORKER ? "worker-0" : "trainer-solo-" + std::to_string(rank));
    if (kind == proto::TRAINER) hello.set_policy("solo");
    hello.set_rank(rank);
    exchange_->Joined(now_, session, hello);
  }
  uint64_t Call(wire::SessionId session, const proto::Header& header, std::vector<wire::Frame> frames = {}) {
    exchange_->Call(now_, session, ++call_, {header, std::move(frames)});
    return call_;
  }
  uint64_t Ask(uint32_t credit) {
    proto::Header header;
    header.mutable_ticket_request()->set_credit(credit);
    return Call(kWorker, header);
  }
  std::vector<proto::Ticket> Tickets(uint32_t credit) {
    const auto& tickets = out_.replies[Ask(credit)].ticket_grant().tickets();
    return {tickets.begin(), tickets.end()};
  }
  static proto::Header GroupOf(const proto::Ticket& ticket, uint32_t version) {
    proto::Header header;
    *header.mutable_group()->mutable_ticket() = ticket;
    for (uint32_t e = 0; e < ticket.episodes(); ++e) {
      proto::Turn* turn = header.mutable_group()->add_episodes()->add_turns();
      turn->set_policy("solo");
      turn->add_version_runs()->mutable_version()->set_number(version);
      turn->mutable_version_runs(0)->set_count(1);
    }
    return header;
  }
  std::string Submit(const proto::Ticket& ticket, uint32_t version) {
    const proto::Header& reply = out_.replies[Call(kWorker, GroupOf(ticket, version))];
    return reply.has_refusal() ? reply.refusal().reason() : reply.group_receipt().verdict();
  }
  uint64_t AskBatch(wire::SessionId session, uint32_t step, proto::Purpose purpose = proto::TRAIN) {
    proto::Header header;
    header.mutable_batch_request()->set_purpose(purpose);
    header.mutable_batch_request()->set_step(step);
    return Call(session, header);
  }
  std::string Publish(uint32_t number, const std::string& bytes = "weights") {
    proto::Version version;
    version.set_number(number);
    version.set_incarnation(options_.incarnation);
    proto::Header begin, chunk, commit;
    *begin.mutable_weights_begin()->mutable_version() = version;
    begin.mutable_weights_begin()->set_bytes(bytes.size());
    begin.mutable_weights_begin()->set_chunks(1);
    begin.mutable_weights_begin()->set_digest(Digest(bytes));
    *chunk.mutable_weights_chunk()->mutable_version() = version;
    *commit.mutable_weights_commit()->mutable_version() = version;
    commit.mutable_weights_commit()->set_digest(Digest(bytes));
    for (const uint64_t call :
         {Call(kRank0, begin), Call(kRank0, chunk, {wire::MakeFrame(bytes)}), Call(kRank0, commit)}) {
      if (out_.replies[call].has_refusal()) return out_.replies[call].refusal().reason();
    }
    return "";
  }
  std::string RejectStep(uint32_t number) {
    proto::Header header;
    header.mutable_weights_commit()->mutable_version()->set_number(number);
    header.mutable_weights_commit()->set_rejected_non_finite(true);
    const proto::Header& reply = out_.replies[Call(kRank0, header)];
    return reply.has_refusal() ? reply.refusal().reason() : "";
  }
  bool Answered(uint64_t call) const { return out_.replies.contains(call); }
  std::vector<uint64_t> BatchTickets(uint64_t call) {
    std::vector<uint64_t> tickets;
    for (const proto::Group& group : out_.replies[call].batch().groups()) tickets.push_back(group.ticket().id());
    return tickets;
  }

  ExchangeOptions options_;
  Recorder out_;
  std::optional<Exchange> exchange_;
  double now_ = 0;
  uint64_t call_ = 0;
};

TEST_F(ExchangeTest, TicketsWaitForVersionsAndForThePlaceOfABatch) {
  Start();
  const uint64_t early = Ask(8);
  EXPECT_FALSE(Answered(early));
  EXPECT_EQ(Publish(0), "");
  ASSERT_TRUE(Answered(early));
  const auto& grant = out_.replies[early].ticket_grant();
  ASSERT_EQ(grant.tickets_size(), 2);  // one batch, since the bound is 0
  EXPECT_EQ(grant.tickets(1).id(), 1u);
  EXPECT_EQ(grant.tickets(1).task(), 1u);
  EXPECT_NE(grant.tickets(0).seed(), grant.tickets(1).seed());
  EXPECT_EQ(grant.tickets(0).episodes(), 2u);
  EXPECT_EQ(grant.tickets(0).limits(0).consume_by(), 0u);
  EXPECT_EQ(grant.versions(0).policy(), "solo");
  const uint64_t more = Ask(8);
  EXPECT_FALSE(Answered(more));
  exchange_->Tick(40);
  EXPECT_THAT(out_.missing[more], HasSubstr("policy solo has to catch up"));
  EXPECT_THAT(out_.warnings, Contains(HasSubstr("waiting for policy solo for 40 s")));
}

TEST_F(ExchangeTest, ARunGoesFromTheFirstVersionToTheEnd) {
  Start();
  Publish(0);
  for (uint32_t step = 0; step < 2; ++step) {
    const uint64_t batch = AskBatch(kRank0, step);
    const auto tickets = Tickets(8);
    ASSERT_EQ(tickets.size(), 2u);
    EXPECT_EQ(Submit(tickets[1], step), "accepted");
    EXPECT_FALSE(Answered(batch));
    exchange_->Tick(now_);
    EXPECT_EQ(out_.missing[batch], "1 of 2 groups are missing: worker-0 plays 1");
    EXPECT_EQ(Submit(tickets[0], step), "accepted");
    EXPECT_THAT(BatchTickets(batch), ElementsAre(2 * step, 2 * step + 1));
    EXPECT_EQ(out_.replies[batch].batch().groups(0).at_issue(0).version().number(), step);
    EXPECT_EQ(Publish(step + 1), "");
  }
  EXPECT_EQ(exchange_->stage(), Stage::kFinished);
  EXPECT_TRUE(exchange_->TrainersTold());
  EXPECT_TRUE(out_.replies[Ask(1)].ticket_grant().finished());
  EXPECT_TRUE(out_.replies[AskBatch(kRank0, 2)].batch().finished());
  EXPECT_EQ(exchange_->lane("solo").ledger().trained(), 8u);
  EXPECT_THAT(out_.lines, Contains(HasSubstr("step policy: \"solo\" step: 2 version: 2")));
  EXPECT_THAT(out_.lines, Contains(HasSubstr("ledger policy: \"solo\" issued: 8 trained: 8")));
  EXPECT_THAT(out_.lines, Contains(HasSubstr("overlap ")));
  EXPECT_TRUE(out_.announcements.back().finished());
}

TEST_F(ExchangeTest, EveryRankGetsTheSameBatchAlsoAgain) {
  Start();
  Publish(0);
  for (const auto& ticket : Tickets(8)) Submit(ticket, 0);
  const uint64_t asked = AskBatch(kRank0, 0);
  const auto first = BatchTickets(asked);
  EXPECT_EQ(first.size(), 2u);
  EXPECT_EQ(BatchTickets(AskBatch(kRank1, 0)), first);
  EXPECT_EQ(BatchTickets(AskBatch(kRank0, 0)), first);
  const uint64_t next = AskBatch(kRank1, 1);  // before rank 0 has published
  EXPECT_FALSE(Answered(next));
  Publish(1);
  for (const auto& ticket : Tickets(8)) Submit(ticket, 1);
  EXPECT_THAT(BatchTickets(next), ElementsAre(2, 3));
  // A trainer that goes on from a checkpoint gets the past one, from the journal; there is none further ahead.
  EXPECT_EQ(out_.replies[AskBatch(kRank0, 0)].batch().SerializeAsString(),
            out_.replies[asked].batch().SerializeAsString());
  EXPECT_EQ(Publish(1), "");
  EXPECT_EQ(exchange_->lane("solo").ledger().trained(), 4u);
  out_.journal.clear();
  EXPECT_THAT(out_.replies[AskBatch(kRank0, 0)].refusal().reason(), HasSubstr("cannot be read back"));
}

TEST_F(ExchangeTest, AStepThatWasNotTakenGetsTheNextBatchOnEveryRank) {
  Start();
  Publish(0);
  for (const auto& ticket : Tickets(8)) Submit(ticket, 0);
  AskBatch(kRank0, 0);
  AskBatch(kRank1, 0);
  const uint64_t again = AskBatch(kRank1, 0);  // it knows already, rank 0 has not said so
  EXPECT_FALSE(Answered(again));
  EXPECT_EQ(RejectStep(0), "");
  EXPECT_FALSE(Answered(again));
  for (const auto& ticket : Tickets(8)) Submit(ticket, 0);
  EXPECT_FALSE(Answered(AskBatch(kRank0, 1)) && BatchTickets(call_).size() > 0);
  EXPECT_THAT(BatchTickets(again), ElementsAre(2, 3));
  EXPECT_THAT(BatchTickets(AskBatch(kRank0, 0)), ElementsAre(2, 3));
  EXPECT_EQ(exchange_->lane("solo").ledger().Metrics().rejected_by_reason().at("non_finite"), 4u);
  Publish(1);
  EXPECT_THAT(RejectStep(1), HasSubstr("no step from version 1"));
}

TEST_F(ExchangeTest, GroupsMustBeWhatTheirTicketsSay) {
  Start();
  Publish(0);
  const auto tickets = Tickets(8);
  EXPECT_EQ(Submit(tickets[0], 7), "group of ticket 0 claims version 0.7 of solo; the newest is 0.0");
  proto::Header torn = GroupOf(tickets[0], 0);
  torn.mutable_group()->mutable_episodes()->RemoveLast();
  EXPECT_EQ(out_.replies[Call(kWorker, torn)].refusal().reason(), "group of ticket 0 has 1 episodes; 2 were asked for");
  proto::Header stranger = GroupOf(tickets[0], 0);
  stranger.mutable_group()->mutable_episodes(0)->mutable_turns(0)->set_policy("nobody");
  EXPECT_THAT(out_.replies[Call(kWorker, stranger)].refusal().reason(), HasSubstr("no policy is named nobody"));
  EXPECT_EQ(Submit(tickets[0], 0), "accepted");  // the ticket is still out
  EXPECT_EQ(Submit(tickets[0], 0), "duplicate");
  EXPECT_EQ(exchange_->lane("solo").ledger().Metrics().duplicates_total(), 2u);
  proto::Ticket unknown = tickets[0];
  unknown.set_id(77);
  EXPECT_EQ(Submit(unknown, 0), "orphaned");
}

TEST_F(ExchangeTest, TheTicketsOfALostWorkerAreIssuedAgain) {
  Start();
  Publish(0);
  const auto tickets = Tickets(8);
  exchange_->Lost(now_, kWorker, "silent for 10.0 s");
  EXPECT_THAT(out_.warnings, Contains(HasSubstr("2 tickets will be issued again")));
  Join(kWorker, proto::WORKER, 0);
  const auto again = Tickets(8);
  ASSERT_EQ(again.size(), 2u);
  EXPECT_EQ(again[0].id(), tickets[0].id());
  EXPECT_EQ(again[0].seed(), tickets[0].seed());
  EXPECT_EQ(again[0].attempt(), 1u);
  EXPECT_EQ(exchange_->lane("solo").ledger().in_flight(), 4u);
  EXPECT_EQ(exchange_->lane("solo").ledger().Metrics().reissued_total(), 4u);
}

TEST_F(ExchangeTest, TheWarmStartComesFirstAndIsEvaluated) {
  options_.config.mutable_sft()->set_steps(2);
  options_.config.mutable_sft()->set_episodes_per_step(2);
  options_.config.mutable_sft()->set_tasks(3);
  options_.config.mutable_evaluation()->set_episodes(3);
  options_.config.mutable_evaluation()->set_temperature(0.5);
  Start();
  EXPECT_THAT(Publish(0), HasSubstr("version 0 of solo after 0 of 2 supervised steps"));
  const auto sft = Tickets(8);
  ASSERT_EQ(sft.size(), 4u);
  EXPECT_EQ(sft[3].purpose(), proto::SFT);
  EXPECT_EQ(sft[3].task(), 0u);  // 3 questions, over and over
  EXPECT_NE(sft[3].seed(), sft[0].seed());
  for (const auto& ticket : sft) EXPECT_EQ(Submit(ticket, 0).substr(0, 5), "group");  // scripted turns have no versions
  for (const auto& ticket : sft) {
    proto::Header header;
    *header.mutable_group()->mutable_ticket() = ticket;
    header.mutable_group()->add_episodes();
    Call(kWorker, header);
  }
  for (uint32_t step = 0; step < 2; ++step) {
    EXPECT_THAT(BatchTickets(AskBatch(kRank0, step, proto::SFT)), ElementsAre(2 * step, 2 * step + 1));
    proto::Header done;
    done.mutable_step_done()->set_purpose(proto::SFT);
    done.mutable_step_done()->set_step(step);
    EXPECT_TRUE(out_.replies[Call(kRank0, done)].has_ack());
    // Once more, by a trainer that goes on from a checkpoint: it is done already.
    EXPECT_THAT(BatchTickets(AskBatch(kRank0, step, proto::SFT)), ElementsAre(2 * step, 2 * step + 1));
    EXPECT_TRUE(out_.replies[Call(kRank0, done)].has_ack());
    done.mutable_step_done()->set_step(step + 2);
    EXPECT_TRUE(out_.replies[Call(kRank0, done)].has_refusal());  // there is no such step
  }
  EXPECT_EQ(std::ranges::count_if(out_.lines, [](const std::string& line) { return line.starts_with("sft "); }), 2);
  EXPECT_TRUE(out_.replies[AskBatch(kRank0, 2, proto::SFT)].batch().finished());
  EXPECT_EQ(exchange_->lane("solo").ledger().issued(), 0u);
  EXPECT_EQ(Publish(0), "");
  EXPECT_EQ(exchange_->stage(), Stage::kEvalAfterSft);
  const uint64_t batch = AskBatch(kRank0, 0);
  const auto eval = Tickets(8);
  ASSERT_EQ(eval.size(), 3u);
  EXPECT_EQ(eval[2].split(), proto::HELD_OUT);
  EXPECT_EQ(eval[2].task(), 2u);
  EXPECT_EQ(eval[2].temperature(), 0.5f);
  EXPECT_EQ(eval[2].limits(0).consume_by(), std::numeric_limits<uint32_t>::max());
  for (const auto& ticket : eval) EXPECT_EQ(Submit(ticket, 0), "accepted");
  EXPECT_EQ(exchange_->stage(), Stage::kTrain);
  EXPECT_THAT(out_.lines, Contains(HasSubstr("eval stage: \"after_sft\" temperature: 0.5 episodes: 3")));
  EXPECT_THAT(out_.lines, Contains(HasSubstr("sft_ledger policy: \"solo\" issued: 4 trained: 4")));
  EXPECT_FALSE(Answered(batch));
  EXPECT_EQ(Tickets(8).size(), 2u);
}

TEST_F(ExchangeTest, StoppingLetsStepsEndAndTellsEverybody) {
  Start();
  Publish(0);
  for (const auto& ticket : Tickets(8)) Submit(ticket, 0);
  AskBatch(kRank0, 0);
  const uint64_t waiting = Ask(8);
  exchange_->Stop(now_);
  EXPECT_TRUE(out_.replies[waiting].ticket_grant().finished());
  EXPECT_TRUE(out_.announcements.back().finished());
  EXPECT_FALSE(exchange_->TrainersTold());
  EXPECT_EQ(BatchTickets(AskBatch(kRank1, 0)).size(), 2u);  // rank 0 waits for it in the middle of the step
  EXPECT_EQ(Publish(1), "");
  for (const wire::SessionId rank : {kRank0, kRank1}) {
    EXPECT_TRUE(out_.replies[AskBatch(rank, 1)].batch().stopping());
  }
  EXPECT_TRUE(exchange_->TrainersTold());
  EXPECT_TRUE(exchange_->Health(1e9).ok());
  EXPECT_FALSE(exchange_->NobodyHere());  // it was sent to them; they need not have it
  for (const wire::SessionId peer : {kRank0, kRank1, kWorker}) exchange_->Left(now_, peer);
  EXPECT_TRUE(exchange_->NobodyHere());
}

TEST_F(ExchangeTest, AResumedRunOpensAnotherIncarnation) {
  options_.incarnation = 3;
  options_.resume = {{"solo", {proto::TRAIN, 1}}};
  options_.config.mutable_evaluation()->set_episodes(3);
  Start();
  EXPECT_THAT(Publish(0), HasSubstr("cannot be published"));
  EXPECT_EQ(Publish(1), "");
  EXPECT_EQ(exchange_->stage(), Stage::kTrain);
  const auto tickets = Tickets(8);
  ASSERT_EQ(tickets.size(), 2u);
  EXPECT_EQ(tickets[0].task(), uint64_t{3} << 32);
  EXPECT_EQ(tickets[0].limits(0).least().incarnation(), 3u);
  EXPECT_EQ(tickets[0].limits(0).least().number(), 1u);
  // An engine that still has version 1 of incarnation 0: those are other bytes.
  for (const auto& ticket : tickets) EXPECT_EQ(Submit(ticket, 1), "accepted");
  EXPECT_FALSE(Answered(AskBatch(kRank0, 1)));
  EXPECT_EQ(exchange_->lane("solo").ledger().Metrics().rejected_by_reason().at("stale"), 4u);
  EXPECT_EQ(Tickets(8).size(), 2u);  // in their place
}

TEST_F(ExchangeTest, WhatWasIssuedBeforeTheRunWasResumedIsOrphanedAndCountsForNothing) {
  options_.incarnation = 3;
  options_.resume = {{"solo", {proto::TRAIN, 1}}};
  Start();
  Publish(1);
  const auto tickets = Tickets(8);
  const std::string ledger = exchange_->lane("solo").ledger().Metrics().ShortDebugString();
  proto::Ticket abandoned = tickets[0];  // of the same number, and still played by somebody
  abandoned.set_incarnation(2);
  EXPECT_EQ(Submit(abandoned, 1), "orphaned");
  EXPECT_EQ(exchange_->lane("solo").ledger().Metrics().ShortDebugString(), ledger);
  EXPECT_EQ(Submit(tickets[0], 1), "accepted");
}

TEST_F(ExchangeTest, OnlyThePolicysOwnRankZeroPublishes) {
  Start();
  proto::Header begin;
  begin.mutable_weights_begin()->set_policy("nobody");
  EXPECT_THAT(out_.replies[Call(kRank0, begin)].refusal().reason(), HasSubstr("no policy is named nobody"));
  begin.mutable_weights_begin()->set_policy("solo");
  EXPECT_THAT(out_.replies[Call(kRank1, begin)].refusal().reason(), HasSubstr("rank 0 publishes"));
  EXPECT_THAT(out_.replies[Call(kOther, begin)].refusal().reason(), HasSubstr("before the hello"));
  Publish(0);
  EXPECT_THAT(Publish(1), HasSubstr("no batch is being trained on"));
  EXPECT_THAT(Publish(0, "others"), HasSubstr("exists with digest"));
  EXPECT_EQ(Publish(0), "");
}

TEST_F(ExchangeTest, AFetchWaitsForTheVersionThatItNeeds) {
  Start();
  proto::Header begin;
  begin.mutable_weights_begin()->set_policy("solo");
  const uint64_t fetch = Call(kWorker, begin);
  EXPECT_FALSE(Answered(fetch));
  exchange_->Tick(now_);
  EXPECT_EQ(out_.missing[fetch], "version 0.0 of solo is not published yet");
  Publish(0);
  EXPECT_EQ(out_.replies[fetch].weights_begin().bytes(), 7u);
}

TEST_F(ExchangeTest, SaysWhichTrainerIsMissing) {
  exchange_.emplace(options_, &out_);
  Join(kWorker, proto::WORKER, 0);
  EXPECT_EQ(exchange_->Health(30).message(), "no trainer of policy solo has joined within 30 s");
}

}  // namespace
}  // namespace tandem
