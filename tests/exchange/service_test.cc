// The exchange as a process and its links, over real sockets: a whole small run, a stop, a lying group, missing peers.
#include "exchange/service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <future>
#include <optional>
#include <thread>
#include <zmq.hpp>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/status.h"
#include "exchange/link.h"
#include "proto/group.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

class ServiceTest : public ::testing::Test {
 protected:
  ServiceTest() {
    char name[] = "/tmp/tandem-service-XXXXXX";
    run_.run_folder = mkdtemp(name);
    run_.run_name = "run";
    run_.endpoint = absl::StrCat("ipc://", run_.run_folder, "/socket");
    run_.build = "build";
    run_.config_digest = "digest";
    proto::Config& config = run_.config;
    for (const char* policy : {"planner", "executor"}) {
      (*config.mutable_policies())[policy].mutable_staleness()->set_bound(1);
    }
    config.mutable_sft()->set_steps(2);
    config.mutable_sft()->set_episodes_per_step(3);
    config.mutable_train()->set_steps(3);
    config.mutable_train()->set_groups_per_step(2);
    config.mutable_train()->set_group_size(2);
    config.mutable_evaluation()->set_episodes(4);
    config.mutable_rollout()->set_groups_in_play(3);
  }
  ~ServiceTest() override { std::filesystem::remove_all(run_.run_folder); }

  void StartExchange() {
    std::promise<std::string> bound;
    run_.on_bound = [&](const std::string& endpoint) { bound.set_value(endpoint); };
    result_ = std::async(std::launch::async, [this] { return RunExchange(run_, network_, stop_); });
    endpoint_ = bound.get_future().get();
    run_.on_bound = nullptr;
  }

  std::unique_ptr<wire::Client> Connect(proto::PeerKind kind, const std::string& name, const std::string& policy = "") {
    wire::ClientOptions options;
    options.endpoint = endpoint_;
    options.hello.set_build("build");
    options.hello.set_config_digest("digest");
    options.hello.set_kind(kind);
    options.hello.set_name(name);
    options.hello.set_policy(policy);
    auto client = wire::Client::Connect(context_, clock_, options);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  static std::string Weights(const std::string& policy, uint32_t number) {
    std::string bytes;
    while (bytes.size() < 5000) absl::StrAppend(&bytes, policy, " ", number, "; ");
    return bytes;
  }

  // Both roles of an episode with one output token each.
  static void Play(WorkerLink* link, const proto::Ticket& ticket,
                   const std::map<std::string, proto::Version>& installed) {
    proto::Group group;
    group.set_format(kGroupFormat);
    *group.mutable_ticket() = ticket;
    std::vector<TurnTokens> tokens;
    for (uint32_t e = 0; e < ticket.episodes(); ++e) {
      proto::Episode* episode = group.add_episodes();
      episode->set_episode(e);
      for (const char* policy : {"planner", "executor"}) {
        proto::Turn* turn = episode->add_turns();
        turn->set_policy(policy);
        turn->set_prompt_tokens(2);
        turn->set_output_tokens(1);
        tokens.push_back({{1, 2}, {3}, {-1.0f}, {-1.0f}, {1}});
        if (ticket.purpose() == proto::SFT) {
          turn->set_finish(proto::SCRIPTED);
          continue;
        }
        turn->set_finish(proto::STOP);
        *turn->add_version_runs()->mutable_version() = installed.at(policy);
        turn->mutable_version_runs(0)->set_count(1);
      }
    }
    link->SubmitGroup(std::move(group), PackFrames(tokens));
  }

  // Plays until the run is finished.
  absl::Status Work(const std::string& name) {
    WorkerLink link(Connect(proto::WORKER, name));
    std::map<std::string, proto::Version> installed;
    std::vector<proto::Ticket> waiting;
    while (true) {
      if (waiting.empty() && !link.tickets_requested()) link.RequestTickets(3);
      TANDEM_ASSIGN_OR_RETURN(auto event, link.Poll(0.5));
      if (!event) continue;
      if (std::holds_alternative<RunFinished>(*event)) return absl::OkStatus();
      if (auto* tickets = std::get_if<TicketsArrived>(&*event)) {
        if (tickets->grant.finished()) return absl::OkStatus();
        for (const proto::Ticket& ticket : tickets->grant.tickets()) waiting.push_back(ticket);
      }
      if (auto* weights = std::get_if<WeightsArrived>(&*event)) {
        EXPECT_EQ(weights->bytes, Weights(weights->policy, weights->version.number()));
        installed[weights->policy] = weights->version;
      }
      if (auto* answer = std::get_if<GroupAnswered>(&*event)) {
        EXPECT_EQ(answer->verdict, "accepted");
      }
      std::erase_if(waiting, [&](const proto::Ticket& ticket) {
        bool ready = link.submit_credit() > 0;
        for (const proto::TicketLimit& limit : ticket.limits()) {
          const auto have = installed.find(limit.policy());
          const bool enough = have != installed.end() && have->second.number() >= limit.least().number();
          if (!enough) link.FetchWeights(limit.policy(), limit.least());
          ready &= enough;
        }
        if (ready) Play(&link, ticket, installed);
        return ready;
      });
    }
  }

  // The life of a trainer; the number of the version it ends with.
  absl::StatusOr<uint32_t> Train(const std::string& policy) {
    TrainerLink link(Connect(proto::TRAINER, "trainer-" + policy, policy), /*chunk_bytes=*/1024);
    for (uint32_t step = 0;; ++step) {
      TANDEM_ASSIGN_OR_RETURN(const TrainingBatch batch, link.NextBatch(proto::SFT, step));
      if (batch.header.finished()) break;
      EXPECT_EQ(batch.frames.size(), 3u * kFramesPerGroup);
      TANDEM_RETURN_IF_ERROR(link.FinishSftStep(step, {}));
    }
    proto::Version version;
    for (uint32_t step = 0;; ++step) {
      version.set_number(step);
      TANDEM_RETURN_IF_ERROR(link.Publish(version, Weights(policy, step), {}));
      TANDEM_ASSIGN_OR_RETURN(const TrainingBatch batch, link.NextBatch(proto::TRAIN, step));
      if (batch.header.finished()) return step;
      EXPECT_EQ(batch.header.groups_size(), 2);
      EXPECT_TRUE(CheckGroup(batch.header.groups(1), std::span(batch.frames).subspan(kFramesPerGroup)).ok());
      if (step == 1 && policy == "planner" && !std::exchange(gave_up_, true)) {
        TANDEM_RETURN_IF_ERROR(link.RejectNonFinite(version, {}));
        TANDEM_RETURN_IF_ERROR(link.NextBatch(proto::TRAIN, step).status());
      }
    }
  }

  std::string File(const std::string& name) { return *ReadFile(run_.run_folder + "/" + name); }

  ExchangeRun run_;
  RealClock clock_;
  zmq::context_t context_;
  wire::ZmqNetwork network_{context_};
  std::atomic<bool> stop_{false};
  std::future<absl::Status> result_;
  std::string endpoint_;
  bool gave_up_ = false;
};

TEST_F(ServiceTest, PlaysAWholeRun) {
  StartExchange();
  std::vector<std::future<absl::StatusOr<uint32_t>>> trainers;
  for (const char* policy : {"planner", "executor"}) {
    trainers.push_back(std::async(std::launch::async, [this, policy] { return Train(policy); }));
  }
  std::vector<std::future<absl::Status>> workers;
  for (const char* name : {"worker-0", "worker-1"}) {
    workers.push_back(std::async(std::launch::async, [this, name] { return Work(name); }));
  }
  for (auto& trainer : trainers) {
    const auto version = trainer.get();
    ASSERT_TRUE(version.ok()) << version.status();
    EXPECT_EQ(*version, 3u);
  }
  for (auto& worker : workers) EXPECT_TRUE(worker.get().ok());
  EXPECT_TRUE(result_.get().ok());
  const std::string metrics = File("metrics.jsonl");
  EXPECT_THAT(metrics, HasSubstr("\"policy\":\"planner\",\"issued\":16,\"trained\":12,\"in_flight\":0"));  // 4 rejected
  EXPECT_THAT(metrics, HasSubstr("\"policy\":\"executor\",\"issued\":12,\"trained\":12,\"in_flight\":0"));
  EXPECT_THAT(metrics, HasSubstr("\"kind\":\"eval\""));
  EXPECT_THAT(metrics, HasSubstr("\"stage\":\"final\""));
  EXPECT_THAT(metrics, HasSubstr("\"kind\":\"overlap\""));
}

TEST_F(ServiceTest, AStopTellsTrainersAndWorkers) {
  StartExchange();
  TrainerLink trainer(Connect(proto::TRAINER, "trainer-planner", "planner"), 1024);
  auto worker = std::async(std::launch::async, [this] { return Work("worker-0"); });
  ASSERT_TRUE(trainer.NextBatch(proto::SFT, 0).ok());
  stop_ = true;
  ASSERT_TRUE(trainer.FinishSftStep(0, {}).ok());
  uint32_t step = 1;
  absl::StatusOr<TrainingBatch> batch = trainer.NextBatch(proto::SFT, step);
  while (batch.ok() && !batch->header.finished()) {  // the exchange may not have looked at `stop` yet
    ASSERT_TRUE(trainer.FinishSftStep(step, {}).ok());
    batch = trainer.NextBatch(proto::SFT, ++step);
  }
  ASSERT_TRUE(batch.ok()) << batch.status();
  if (!batch->header.stopping()) batch = trainer.NextBatch(proto::TRAIN, 0);
  ASSERT_TRUE(batch.ok()) << batch.status();
  EXPECT_TRUE(batch->header.stopping());
  EXPECT_TRUE(worker.get().ok());
  EXPECT_TRUE(result_.get().ok());
}

// A worker that generates looks for news between two steps, and may stop looking after each chunk of new weights.
TEST_F(ServiceTest, WeightsComeAChunkAtATimeIntoMemoryThatIsThere) {
  run_.config.mutable_sft()->set_steps(0);
  StartExchange();
  constexpr size_t kChunk = 1024, kChunks = 50;
  std::string bytes;
  while (bytes.size() <= kChunk * (kChunks - 1)) absl::StrAppend(&bytes, bytes.size(), "; ");
  TrainerLink planner(Connect(proto::TRAINER, "trainer-planner", "planner"), kChunk);
  TrainerLink executor(Connect(proto::TRAINER, "trainer-executor", "executor"), kChunk);
  ASSERT_TRUE(planner.Publish(proto::Version(), bytes, {}).ok());
  auto link = std::make_unique<WorkerLink>(Connect(proto::WORKER, "worker-0"));
  std::string old(2 * bytes.size(), 'x');
  const char* const memory = old.data();
  link->Reuse("planner", std::move(old));
  link->FetchWeights("planner", proto::Version());
  for (size_t coming = 0;;) {
    const auto event = link->Poll(20);
    ASSERT_TRUE(event.ok()) << event.status();
    if (!event->has_value()) continue;
    coming += std::holds_alternative<WeightsComing>(**event);
    const auto* weights = std::get_if<WeightsArrived>(&**event);
    if (weights == nullptr) continue;
    EXPECT_EQ(weights->bytes, bytes);
    EXPECT_EQ(weights->bytes.data(), memory);
    EXPECT_EQ(coming, kChunks - 1);
    break;
  }
  link.reset();
  stop_ = true;
  for (TrainerLink* trainer : {&planner, &executor}) {
    const auto batch = trainer->NextBatch(proto::TRAIN, 0);
    ASSERT_TRUE(batch.ok()) << batch.status();
    EXPECT_TRUE(batch->header.stopping());
  }
  EXPECT_TRUE(result_.get().ok());
}

TEST_F(ServiceTest, AGroupWithLyingSizesIsRefusedAndTheExchangeGoesOn) {
  StartExchange();
  WorkerLink link(Connect(proto::WORKER, "worker-0"));
  link.RequestTickets(1);
  auto event = link.Poll(20);
  ASSERT_TRUE(event.ok() && event->has_value());
  const proto::Ticket ticket = std::get<TicketsArrived>(**event).grant.tickets(0);
  proto::Group group;
  group.set_format(kGroupFormat);
  *group.mutable_ticket() = ticket;
  group.add_episodes()->add_turns()->set_output_tokens(1'000'000);
  link.SubmitGroup(group, PackFrames({}));
  event = link.Poll(20);
  EXPECT_EQ(event.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(event.status().message()), HasSubstr("1000000"));
  Play(&link, ticket, {});
  event = link.Poll(20);
  ASSERT_TRUE(event.ok() && event->has_value()) << event.status();
  EXPECT_EQ(std::get<GroupAnswered>(**event).verdict, "accepted");
  stop_ = true;
  EXPECT_TRUE(result_.get().ok());
}

TEST_F(ServiceTest, SaysWhoDidNotJoin) {
  run_.config.mutable_transport()->set_connect_s(0.3);
  StartExchange();
  EXPECT_EQ(result_.get().message(), "no trainer of policy executor has joined within 0.3 s");
}

TEST_F(ServiceTest, AnEndpointInUseIsNamed) {
  run_.endpoint = "tcp://127.0.0.1:*";
  StartExchange();
  run_.endpoint = endpoint_;
  const absl::Status status = RunExchange(run_, network_, stop_);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr(endpoint_));
  stop_ = true;
  EXPECT_TRUE(result_.get().ok());
}

}  // namespace
}  // namespace tandem
