#include "rollout/worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>

#include "base/digest.h"
#include "rollout/model_shape.h"
#include "rollout/play_tickets.h"
#include "tests/rollout/played.h"

namespace tandem {
namespace {

using testing::HasSubstr;

// An exchange behind a worker's client: answers at once, but for what it keeps back. No threads, no sockets.
class FakeExchange final : public wire::Client {
 public:
  FakeExchange(ModelConfig shape, std::atomic<bool>* stop) : shape_(shape), stop_(stop) {
    welcome_.set_run("run");
    welcome_.set_submit_credit(3);
  }

  std::deque<proto::Ticket> tickets;
  std::map<std::string, uint32_t> newest;     // versions published, by policy
  std::function<void()> after_group = [] {};  // called for each group that arrives
  bool answer_weights = true;
  size_t bytes_too_few = 0;  // of weights
  std::vector<proto::Group> groups;
  std::vector<std::vector<wire::Frame>> frames;
  std::vector<uint32_t> credits;  // that were asked for
  uint32_t most_unanswered_groups = 0;
  std::vector<proto::RolloutMetrics> metrics;

  void Publish(const std::string& policy, uint32_t number, bool announce) {
    newest[policy] = number;
    if (!announce) return;
    wire::Arrival arrival;
    proto::PolicyVersion& version = *arrival.packet.header.mutable_announcement()->mutable_version();
    version.set_policy(policy);
    *version.mutable_version() = VersionOf(number);
    arrivals_.push_back(std::move(arrival));
  }

  static proto::Version VersionOf(uint32_t number) {
    proto::Version version;
    version.set_incarnation(1);
    version.set_number(number);
    return version;
  }

  const proto::Welcome& welcome() const override { return welcome_; }

  uint64_t Start(proto::Header header, std::vector<wire::Frame> frames, std::string, double) override {
    const uint64_t call = ++calls_;
    if (header.has_group()) {
      unanswered_groups_ += 1;
      most_unanswered_groups = std::max(most_unanswered_groups, unanswered_groups_);
    }
    if (header.has_ticket_request()) credits.push_back(header.ticket_request().credit());
    asked_.push_back({call, {std::move(header), std::move(frames)}});
    return call;
  }

  absl::StatusOr<std::optional<wire::Arrival>> Poll(double timeout_s) override {
    // Looked at only now and then, so that calls pile up as they do in a run.
    if (timeout_s > 0 || ++polls_ % 3 == 0) Answer();
    if (arrivals_.empty()) {
      if (timeout_s > 0 && ++idle_ > 100) return absl::DeadlineExceededError("the worker waits for nothing");
      return std::optional<wire::Arrival>();
    }
    idle_ = 0;
    std::optional<wire::Arrival> arrival = std::move(arrivals_.front());
    arrivals_.pop_front();
    return arrival;
  }

  absl::StatusOr<wire::Packet> Call(proto::Header, std::vector<wire::Frame>, std::string, double) override {
    return absl::UnimplementedError("a worker does not wait for single calls");
  }
  void set_heartbeat(proto::Heartbeat heartbeat) override { metrics.push_back(heartbeat.rollout()); }
  size_t pending() const override { return asked_.size(); }

 private:
  void Answer() {
    std::deque<wire::Arrival> kept;
    while (!asked_.empty()) {
      wire::Arrival asked = std::move(asked_.front());
      asked_.pop_front();
      if (!AnswerOne(asked)) kept.push_back(std::move(asked));
    }
    asked_ = std::move(kept);
  }

  bool AnswerOne(wire::Arrival& asked) {
    proto::Header& header = asked.packet.header;
    wire::Arrival answer;
    answer.call = asked.call;
    if (header.has_ticket_request()) {
      if (tickets.empty()) return false;
      proto::TicketGrant& grant = *answer.packet.header.mutable_ticket_grant();
      for (uint32_t i = 0; i < header.ticket_request().credit() && !tickets.empty(); ++i) {
        *grant.add_tickets() = std::move(tickets.front());
        tickets.pop_front();
      }
    } else if (header.has_group()) {
      --unanswered_groups_;
      groups.push_back(std::move(*header.mutable_group()));
      frames.push_back(std::move(asked.packet.frames));
      answer.packet.header.mutable_group_receipt()->set_verdict("accepted");
      after_group();
      if (groups.size() == expected_) *stop_ = true;
    } else if (!AnswerWeights(header, answer)) {
      return false;
    }
    arrivals_.push_back(std::move(answer));
    return true;
  }

  bool AnswerWeights(const proto::Header& header, wire::Arrival& answer) {
    if (!answer_weights) return false;
    const std::string& policy =
        header.has_weights_begin() ? header.weights_begin().policy() : header.weights_chunk().policy();
    if (!newest.contains(policy)) return false;
    if (header.has_weights_begin() && header.weights_begin().version().number() > newest[policy]) return false;
    const uint32_t number = header.has_weights_begin() ? newest[policy] : header.weights_chunk().version().number();
    const std::vector<float> flat = BabblingWeights(shape_, number);
    std::string bytes(reinterpret_cast<const char*>(flat.data()), 4 * flat.size() - bytes_too_few);
    if (header.has_weights_begin()) {
      proto::WeightsBegin& begin = *answer.packet.header.mutable_weights_begin();
      begin.set_policy(policy);
      *begin.mutable_version() = VersionOf(number);
      begin.set_bytes(bytes.size());
      begin.set_chunks(1);
      begin.set_digest(Digest(bytes));
    } else {
      *answer.packet.header.mutable_weights_chunk() = header.weights_chunk();
      answer.packet.frames = {wire::MakeFrame(std::move(bytes))};
    }
    return true;
  }

 public:
  size_t expected_ = 0;  // groups, after which the worker is stopped

 private:
  const ModelConfig shape_;
  std::atomic<bool>* const stop_;
  proto::Welcome welcome_;
  uint64_t calls_ = 0, polls_ = 0;
  int idle_ = 0;
  uint32_t unanswered_groups_ = 0;
  std::deque<wire::Arrival> asked_, arrivals_;
};

class WorkerTest : public testing::Test {
 protected:
  WorkerTest() {
    run_.config = SmallConfig();
    run_.config.mutable_rollout()->set_groups_in_play(5);
    run_.config.mutable_train()->set_group_size(4);
    run_.name = "worker-3";
    environment_ = *MakeEnvironment(run_.config.environment(), 0, "");
    shape_ = ModelShape(run_.config.policies().at("planner").model(),
                        CharacterTokenizer::Create(environment_->alphabet())->vocabulary());
    auto exchange = std::make_unique<FakeExchange>(shape_, &stop_);
    exchange_ = exchange.get();
    link_ = std::make_unique<WorkerLink>(std::move(exchange));
    cast_ = *Cast::CreateForRun(run_.config, *environment_, clock_, Babblers(*environment_));
  }

  proto::Ticket Ticket(uint64_t id, proto::Purpose purpose, uint32_t least) {
    proto::Ticket ticket = MakeTicket(id, purpose, purpose == proto::TRAIN ? 4 : 1);
    for (const char* policy : {"planner", "executor"}) {
      proto::TicketLimit* limit = ticket.add_limits();
      limit->set_policy(policy);
      *limit->mutable_least() = FakeExchange::VersionOf(least);
    }
    return ticket;
  }

  void PublishBoth(uint32_t number, bool announce) {
    for (const char* policy : {"planner", "executor"}) exchange_->Publish(policy, number, announce);
  }

  absl::Status Work(size_t groups) {
    exchange_->expected_ = groups;
    stop_ = groups == 0;
    return WorkOverLink(run_, *link_, *cast_, clock_, stop_);
  }

  WorkerRun run_;
  VirtualClock clock_;
  std::unique_ptr<Environment> environment_;
  ModelConfig shape_;
  std::atomic<bool> stop_ = false;
  std::unique_ptr<WorkerLink> link_;
  FakeExchange* exchange_;
  std::unique_ptr<Cast> cast_;
};

TEST_F(WorkerTest, PlaysWhatASynchronousLoopWouldPlay) {
  PublishBoth(2, /*announce=*/false);
  std::vector<proto::Ticket> tickets;
  for (uint64_t id = 0; id < 60; ++id) tickets.push_back(Ticket(id, proto::TRAIN, 2));
  exchange_->tickets.assign(tickets.begin(), tickets.end());
  const absl::Status worked = Work(tickets.size());
  ASSERT_TRUE(worked.ok()) << worked;
  EXPECT_LE(exchange_->most_unanswered_groups, 3u);
  for (uint32_t credit : exchange_->credits) EXPECT_LE(credit, 5u);

  auto cast = *Cast::CreateForRun(run_.config, *environment_, clock_, Babblers(*environment_));
  for (auto& [name, engine] : cast->engines()) {
    ASSERT_TRUE(engine->Install({1, 2}, BabblingWeights(shape_, 2)).ok());
  }
  const auto expected = PlayTickets(*cast, tickets, 1);
  ASSERT_TRUE(expected.ok()) << expected.status();
  ASSERT_EQ(exchange_->groups.size(), 60u);
  for (size_t i = 0; i < 60; ++i) {
    const proto::Group& group = exchange_->groups[i];
    ASSERT_TRUE(CheckGroup(group, exchange_->frames[i]).ok());
    EXPECT_EQ(group.worker(), "worker-3");
    EXPECT_EQ(group.run(), "run");
    const PlayedGroup& same = (*expected)[group.ticket().id()];
    EXPECT_EQ(Unmasked(group, exchange_->frames[i]), Unmasked(same.group, same.frames));
  }
}

TEST_F(WorkerTest, ATicketWaitsForItsLeastVersionWhileOthersGoOn) {
  PublishBoth(0, /*announce=*/false);
  for (uint64_t id = 0; id < 12; ++id) exchange_->tickets.push_back(Ticket(id, proto::TRAIN, id == 6 ? 3 : 0));
  // Version 3 is on its way for long, and was not announced.
  exchange_->after_group = [&] {
    if (exchange_->groups.size() == 1) PublishBoth(3, /*announce=*/false);
    exchange_->answer_weights = exchange_->groups.size() >= 10;
  };
  const absl::Status worked = Work(12);
  ASSERT_TRUE(worked.ok()) << worked;
  size_t place = 0;
  while (exchange_->groups[place].ticket().id() != 6) ++place;
  EXPECT_GE(place, 10u);
  for (const TurnView& view : ViewTurns(exchange_->groups[place], exchange_->frames[place])) {
    for (const proto::VersionRun& run : view.turn->version_runs()) EXPECT_EQ(run.version().number(), 3u);
  }
}

TEST_F(WorkerTest, NewVersionsAreSwappedInWhileTurnsAreWritten) {
  PublishBoth(0, /*announce=*/true);
  for (uint64_t id = 0; id < 200; ++id) exchange_->tickets.push_back(Ticket(id, proto::TRAIN, 0));
  exchange_->after_group = [&] {
    const size_t groups = exchange_->groups.size();
    if (groups % 10 == 0) PublishBoth(static_cast<uint32_t>(groups / 10), /*announce=*/groups % 20 == 0);
  };
  const absl::Status worked = Work(200);
  ASSERT_TRUE(worked.ok()) << worked;
  size_t mixed = 0;
  uint32_t newest = 0;
  for (size_t i = 0; i < 200; ++i) {
    ASSERT_TRUE(CheckGroup(exchange_->groups[i], exchange_->frames[i]).ok());
    for (const TurnView& view : ViewTurns(exchange_->groups[i], exchange_->frames[i])) {
      mixed += view.turn->version_runs_size() > 1;
      uint32_t before = 0;
      for (const proto::VersionRun& run : view.turn->version_runs()) {
        EXPECT_GE(run.version().number(), before);
        newest = std::max(newest, before = run.version().number());
      }
    }
  }
  EXPECT_GT(mixed, 20u);
  EXPECT_GE(newest, 18u);
}

TEST_F(WorkerTest, AsksForAsManySingleEpisodesAsGroupsWouldHave) {
  for (uint64_t id = 0; id < 300; ++id) exchange_->tickets.push_back(Ticket(id, proto::SFT, 0));
  const absl::Status worked = Work(300);  // and needs no weights for it
  ASSERT_TRUE(worked.ok()) << worked;
  EXPECT_GT(*std::max_element(exchange_->credits.begin(), exchange_->credits.end()), 5u);
  for (uint32_t credit : exchange_->credits) EXPECT_LE(credit, 20u);
  EXPECT_LE(exchange_->most_unanswered_groups, 3u);
  EXPECT_EQ(exchange_->groups.size(), 300u);
}

TEST_F(WorkerTest, ReportsWhatItDidOncePerSecond) {
  PublishBoth(0, /*announce=*/false);
  for (uint64_t id = 0; id < 20; ++id) exchange_->tickets.push_back(Ticket(id, proto::TRAIN, 0));
  exchange_->after_group = [&] { clock_.Advance(0.25); };
  const absl::Status worked = Work(20);
  ASSERT_TRUE(worked.ok()) << worked;
  uint32_t tokens = 0, episodes = 0;
  double interval = 0;
  for (const proto::RolloutMetrics& metrics : exchange_->metrics) {
    EXPECT_EQ(metrics.worker(), "worker-3");
    EXPECT_NEAR(metrics.tokens_per_s() * metrics.interval_s(), metrics.tokens_generated(), 1e-6);
    tokens += metrics.tokens_generated();
    episodes += metrics.episodes();
    interval += metrics.interval_s();
  }
  uint64_t generated = 0;
  for (const auto& [name, engine] : cast_->engines()) generated += engine->tokens_generated();
  EXPECT_EQ(tokens, generated);
  EXPECT_EQ(episodes, 80u);
  EXPECT_EQ(interval, 5);  // 20 groups at a quarter of a second
}

TEST_F(WorkerTest, EndsWhenToldSoAndOnAnError) {
  EXPECT_TRUE(Work(0).ok());
  PublishBoth(0, /*announce=*/false);
  exchange_->bytes_too_few = 4;
  exchange_->tickets.push_back(Ticket(0, proto::TRAIN, 0));
  const absl::Status status = Work(1);
  EXPECT_THAT(std::string(status.message()), HasSubstr("weights of "));
}

TEST_F(WorkerTest, ARoleWithoutAPolicyIsAnErrorThatNamesTheKey) {
  proto::Config no_policy = SmallConfig();
  no_policy.mutable_policies()->erase("executor");
  const auto cast = Cast::CreateForRun(no_policy, *environment_, clock_, Babblers(*environment_));
  EXPECT_THAT(std::string(cast.status().message()), HasSubstr("roles.executor.policy: there is no policy executor"));
}

}  // namespace
}  // namespace tandem
