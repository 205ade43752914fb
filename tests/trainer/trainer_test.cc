#include "trainer/trainer.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <limits>
#include <set>
#include <thread>
#include <zmq.hpp>

#include "base/clock.h"
#include "proto/wire/server.h"
#include "tests/trainer/synthetic_batch.h"
#include "trainer/checkpoint.h"
#include "trainer/updater.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Published {
  uint32_t incarnation, number;
  std::string weights;
  proto::StepMetrics metrics;
};

TrainingBatch BatchOf(proto::Purpose purpose, uint32_t step) {
  return MakeBatch(RandomGroups(1000 * purpose + step, 11, 5, 4, purpose, step, 2), purpose, step);
}

// Answers a trainer's calls in a thread of its own, from a fixed list of batches, and writes down what was published.
class ScriptedExchange {
 public:
  ScriptedExchange(zmq::context_t& context, uint32_t incarnation) {
    auto server = wire::Server::Bind(context, clock_, {.endpoint = endpoint, .build = "b", .config_digest = "d"});
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    proto::Welcome welcome;
    welcome.set_incarnation(incarnation);
    server_->set_welcome(welcome);
  }
  ~ScriptedExchange() { Join(); }

  // Another for each: a closed socket frees its name some time later.
  const std::string endpoint = "inproc://scripted-exchange-" + std::to_string(NextNumber());
  // From this batch on the run is stopping.
  std::optional<std::pair<proto::Purpose, uint32_t>> stop_at;
  // From this call on nothing is answered, and this is set.
  std::function<bool(const proto::Header& call)> falls_silent_at = [](const proto::Header&) { return false; };
  std::atomic<bool>* stop = nullptr;

  void Start() {
    thread_ = std::thread([this] { Serve(); });
  }
  // Only afterwards may the results be read.
  void Join() {
    over_ = true;
    if (thread_.joinable()) thread_.join();
  }

  std::vector<Published> published;
  std::vector<uint32_t> sft_steps_done;
  std::vector<uint32_t> rejected;  // version numbers

 private:
  static int NextNumber() {
    static int number = 0;
    return number++;
  }

  void Serve() {
    while (!over_) {
      auto event = server_->Poll(0.02);
      ASSERT_TRUE(event.ok()) << event.status();
      if (*event && (*event)->kind == wire::Event::kCall) Answer(**event);
    }
  }

  void Answer(const wire::Event& event) {
    const proto::Header& call = event.packet.header;
    silent_ |= falls_silent_at(call);
    if (silent_) {
      *stop = true;
      return;
    }
    proto::Header answer;
    answer.mutable_ack();
    std::vector<wire::Frame> frames;
    if (call.has_batch_request()) {
      const auto purpose = call.batch_request().purpose();
      const uint32_t step = call.batch_request().step();
      if (stop_at && stop_at->first == purpose && step >= stop_at->second) {
        answer.mutable_batch()->set_finished(true);
        answer.mutable_batch()->set_stopping(true);
      } else {
        TrainingBatch batch = BatchOf(purpose, step);
        *answer.mutable_batch() = batch.header;
        frames = batch.frames;
      }
    } else if (call.has_weights_begin()) {
      bytes_.clear();
    } else if (call.has_weights_chunk()) {
      EXPECT_EQ(call.weights_chunk().offset(), bytes_.size());
      bytes_ += *event.packet.frames.at(0);
    } else if (call.has_weights_commit() && call.weights_commit().rejected_non_finite()) {
      rejected.push_back(call.weights_commit().version().number());
    } else if (call.has_weights_commit()) {
      const proto::Version& version = call.weights_commit().version();
      published.push_back({version.incarnation(), version.number(), bytes_, call.weights_commit().metrics()});
    } else if (call.has_step_done()) {
      sft_steps_done.push_back(call.step_done().step());
    }
    server_->Reply(event.session, event.call, std::move(answer), std::move(frames));
  }

  const RealClock clock_;
  std::unique_ptr<wire::Server> server_;
  std::string bytes_;
  bool silent_ = false;
  std::atomic<bool> over_ = false;
  std::thread thread_;
};

class TrainerTest : public ::testing::Test {
 protected:
  TrainerTest() {
    std::string path = (std::filesystem::temp_directory_path() / "tandem-trainer-XXXXXX").string();
    folder_ = mkdtemp(path.data());
    run_.policy = "planner";
    for (int64_t i = 1; i < SmallShape().vocabulary; ++i) run_.alphabet += static_cast<char>('!' + i);
    run_.run_folder = folder_;
    run_.build = "b";
    run_.config_digest = "d";
    run_.config.set_seed(5);
    run_.config.mutable_sft()->set_steps(3);
    run_.config.mutable_train()->set_steps(4);
    run_.config.mutable_train()->set_checkpoint_every(2);
    run_.config.mutable_transport()->set_deadline_s(30);
    run_.config.mutable_transport()->set_chunk_bytes(1024);
    proto::PolicyConfig& policy = (*run_.config.mutable_policies())["planner"];
    policy = SmallPolicy();
    policy.set_device(proto::CPU);
    const ModelConfig shape = SmallShape();
    proto::ModelConfig& model = *policy.mutable_model();
    model.set_hidden(static_cast<uint32_t>(shape.hidden));
    model.set_layers(static_cast<uint32_t>(shape.layers));
    model.set_heads(static_cast<uint32_t>(shape.heads));
    model.set_kv_heads(static_cast<uint32_t>(shape.kv_heads));
    model.set_intermediate(static_cast<uint32_t>(shape.intermediate));
    model.set_context(static_cast<uint32_t>(shape.context));
  }
  ~TrainerTest() override { std::filesystem::remove_all(folder_); }

  // Runs all ranks against a scripted exchange and returns what rank 0 said.
  absl::Status Run(ScriptedExchange& exchange, uint32_t ranks = 1) {
    exchange.Start();
    run_.endpoint = exchange.endpoint;
    std::vector<absl::Status> status(ranks);
    std::vector<std::thread> others;
    const auto run_rank = [&](uint32_t rank) {
      TrainerRun run = run_;
      run.rank = rank;
      status[rank] = RunTrainer(run, network_, stop_);
    };
    for (uint32_t rank = 1; rank < ranks; ++rank) others.emplace_back(run_rank, rank);
    run_rank(0);
    for (std::thread& other : others) other.join();
    exchange.Join();
    for (const absl::Status& other : status) EXPECT_EQ(other.ok(), status[0].ok()) << other;
    return status[0];
  }

  // The same steps in a plain synchronous loop, without links: the versions that should be published.
  std::vector<std::string> SynchronousLoop() {
    // As many as the trainer takes: on some processors a library's sums depend on their number.
    at::set_num_threads(static_cast<int>(run_.config.policies().at("planner").threads()));
    const auto alone = MakeLocalCollective();
    auto updater = *Updater::Create({.policy = "planner",
                                     .config = run_.config.policies().at("planner"),
                                     .shape = SmallShape(),
                                     .sft_steps = run_.config.sft().steps(),
                                     .train_steps = run_.config.train().steps(),
                                     .seed = run_.config.seed()},
                                    *alone);
    for (uint32_t i = 0; i < run_.config.sft().steps(); ++i) EXPECT_TRUE(updater->Step(BatchOf(proto::SFT, i)).ok());
    EXPECT_TRUE(updater->BeginReinforcement().ok());
    std::vector<std::string> versions = {*updater->WeightBytes()};
    for (uint32_t i = 0; i < run_.config.train().steps(); ++i) {
      EXPECT_TRUE(updater->Step(BatchOf(proto::TRAIN, i)).ok());
      versions.push_back(*updater->WeightBytes());
    }
    return versions;
  }

  std::vector<std::string> Checkpoints() const {
    std::vector<std::string> out;
    for (const CheckpointName& name : ListCheckpoints(folder_, "planner")) out.push_back(name.Folder());
    return out;
  }

  std::string folder_;
  TrainerRun run_;
  zmq::context_t context_;
  wire::ZmqNetwork network_{context_};
  std::atomic<bool> stop_ = false;
};

TEST_F(TrainerTest, PublishesWhatASynchronousLoopComputes) {
  ScriptedExchange exchange(context_, /*incarnation=*/0);
  const absl::Status status = Run(exchange);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(exchange.sft_steps_done, ElementsAre(0, 1, 2));
  const std::vector<std::string> expected = SynchronousLoop();
  ASSERT_EQ(exchange.published.size(), expected.size());
  for (uint32_t v = 0; v < expected.size(); ++v) {
    EXPECT_EQ(exchange.published[v].incarnation, 0u);
    EXPECT_EQ(exchange.published[v].number, v);
    EXPECT_EQ(exchange.published[v].weights, expected[v]) << "version " << v;
    EXPECT_EQ(exchange.published[v].metrics.step(), v);
    EXPECT_EQ(exchange.published[v].metrics.version(), v);
  }
  const proto::StepMetrics& last = exchange.published.back().metrics;
  EXPECT_GT(last.tokens_per_s(), 0);
  EXPECT_GT(last.step_s(), 0);
  EXPECT_GE(last.wait_share(), 0);
  EXPECT_LE(last.wait_share(), 1);
  EXPECT_THAT(Checkpoints(), ElementsAre("0-0", "0-2", "0-4"));
  const auto weights = LoadWeights(*FindNewestCheckpoint(folder_, "planner"), SmallShape());
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(weights->data()), weights->size() * sizeof(float)), expected[4]);
}

TEST_F(TrainerTest, ARunThatStopsAndIsResumedComputesTheSame) {
  const std::vector<std::string> expected = SynchronousLoop();
  {
    ScriptedExchange exchange(context_, /*incarnation=*/0);
    exchange.stop_at = {proto::SFT, 2};
    ASSERT_TRUE(Run(exchange).ok());
    EXPECT_TRUE(exchange.published.empty());
    EXPECT_THAT(Checkpoints(), ElementsAre("0-sft-2"));
  }
  run_.resume_from = *FindNewestCheckpoint(folder_, "planner");
  {
    ScriptedExchange exchange(context_, /*incarnation=*/1);
    exchange.stop_at = {proto::TRAIN, 3};
    ASSERT_TRUE(Run(exchange).ok());
    EXPECT_THAT(exchange.sft_steps_done, ElementsAre(2));
    EXPECT_EQ(exchange.published.back().weights, expected[3]);
    EXPECT_EQ(Checkpoints().back(), "1-3");
  }
  run_.resume_from = *FindNewestCheckpoint(folder_, "planner");
  ScriptedExchange exchange(context_, /*incarnation=*/2);
  ASSERT_TRUE(Run(exchange).ok());
  ASSERT_EQ(exchange.published.size(), 2u);
  EXPECT_EQ(exchange.published[0].incarnation, 2u);
  EXPECT_EQ(exchange.published[0].number, 3u);
  EXPECT_EQ(exchange.published[0].weights, expected[3]);
  EXPECT_EQ(exchange.published[1].weights, expected[4]);
  EXPECT_EQ(Checkpoints().back(), "2-4");
}

TEST_F(TrainerTest, TwoRanksPublishOnceAndComputeTheSame) {
  // Rounding of the sums differs from that of one rank: near-zero moments would blow it up.
  (*run_.config.mutable_policies())["planner"].mutable_optimizer()->set_epsilon(1e-4);
  (*run_.config.mutable_policies())["planner"].set_ranks(2);
  run_.rendezvous = folder_ + "/rendezvous";
  ScriptedExchange exchange(context_, 0);
  const absl::Status status = Run(exchange, /*ranks=*/2);
  ASSERT_TRUE(status.ok()) << status;
  const std::vector<std::string> expected = SynchronousLoop();
  ASSERT_EQ(exchange.published.size(), expected.size());
  const auto* ours = reinterpret_cast<const float*>(exchange.published.back().weights.data());
  const auto* theirs = reinterpret_cast<const float*>(expected.back().data());
  for (size_t i = 0; i < expected.back().size() / sizeof(float); ++i) ASSERT_NEAR(ours[i], theirs[i], 5e-5);
}

LossOutput NotANumber(const LossInput& input, const proto::LossConfig& config) {
  LossOutput out = GrpoLoss(input, config);
  out.loss = out.loss * std::numeric_limits<float>::quiet_NaN();
  return out;
}

TEST_F(TrainerTest, NonFiniteStepsMakeNoVersionAndEndTheRunWhenTheyGoOn) {
  RegisterLoss("not_a_number", {&NotANumber, /*needs_proximal=*/false});
  (*run_.config.mutable_policies())["planner"].mutable_loss()->set_name("not_a_number");
  ScriptedExchange exchange(context_, 0);
  const absl::Status status = Run(exchange);
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("trainer planner: 5 steps in a row were not finite"));
  EXPECT_EQ(exchange.published.size(), 1u);
  EXPECT_THAT(exchange.rejected, ElementsAre(0, 0, 0, 0, 0));
  EXPECT_THAT(Checkpoints(), ElementsAre("0-0"));
}

TEST_F(TrainerTest, StopBeforeTheExchangeIsThereLeavesNothing) {
  stop_ = true;
  ScriptedExchange exchange(context_, 0);
  EXPECT_EQ(Run(exchange).code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(exchange.sft_steps_done.empty());
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/checkpoints"));
}

// Whatever it waits for when the exchange is gone: what was learned is kept, and no step is taken for undone.
TEST_F(TrainerTest, StopEndsItWithACheckpointThoughTheExchangeIsSilent) {
  using Call = const proto::Header&;
  const std::vector<std::pair<std::function<bool(Call)>, std::string>> cases = {
      {[](Call call) { return call.batch_request().step() == 1; }, "0-sft-1"},
      {[](Call call) { return call.has_step_done() && call.step_done().step() == 1; }, "0-sft-2"},
      {[](Call call) { return call.has_weights_begin(); }, "0-0"},
      {[](Call call) { return call.batch_request().purpose() == proto::TRAIN && call.has_batch_request(); }, "0-0"},
      {[](Call call) { return call.weights_commit().version().number() == 1; }, "0-1"},
  };
  run_.config.mutable_transport()->set_resend_s(0.05);
  for (const auto& [falls_silent_at, checkpoint] : cases) {
    std::filesystem::remove_all(folder_ + "/checkpoints");
    stop_ = false;
    ScriptedExchange exchange(context_, 0);
    exchange.falls_silent_at = falls_silent_at;
    exchange.stop = &stop_;
    const absl::Status status = Run(exchange);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_THAT(Checkpoints(), testing::Contains(checkpoint));
    EXPECT_EQ(Checkpoints().back(), checkpoint);
  }
}

TEST_F(TrainerTest, WhatIsMissingIsNamed) {
  run_.endpoint = "inproc://nobody";
  run_.config.mutable_transport()->set_connect_s(0.2);
  absl::Status status = RunTrainer(run_, network_, stop_);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("inproc://nobody"));

  run_.resume_from = folder_ + "/checkpoints/planner/0-7";
  ScriptedExchange exchange(context_, 1);
  status = Run(exchange);
  EXPECT_THAT(std::string(status.message()), HasSubstr("0-7/state.json"));
}

}  // namespace
}  // namespace tandem
