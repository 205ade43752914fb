#include "rollout/engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "kernels/instruction_set.h"
#include "tests/engine/turn_harness.h"

namespace tandem {
namespace {

using testing::ElementsAre;

class EngineTest : public testing::Test {
 protected:
  // With pages for so many turns of the whole context.
  void Make(int64_t turns, int64_t max_batch, kernels::WeightType type = kernels::WeightType::kFloat32) {
    MakeWith(CachePages(config_.context, turns), {.max_batch = max_batch}, type);
  }
  void MakeWith(int64_t pages, const EngineOptions& options, kernels::WeightType type = kernels::WeightType::kFloat32) {
    engine_ = std::make_unique<Engine>(MakeCpuDecoder(config_, pages, type), options);
    ASSERT_TRUE(engine_->Install({1, 0}, WeightsOf(config_, {1, 0})).ok());
  }
  // Submits a turn; its result is results_[the number returned].
  size_t Submit(const GenerateRequest& request, Engine::OnToken on_token = {}) {
    const size_t number = requests_.size();
    requests_.push_back(request);
    results_.emplace_back();
    auto id = engine_->Submit(request, std::move(on_token),
                              [this, number](GenerateResult result) { results_[number] = std::move(result); });
    EXPECT_TRUE(id.ok()) << id.status();
    ids_.push_back(*id);
    return number;
  }
  absl::Status InstallOverSteps(VersionId version) {
    coming_[version.number % 2] = WeightsOf(config_, version);
    return engine_->InstallOverSteps(version, coming_[version.number % 2]);
  }
  void Finish() {
    while (engine_->Step() > 0) {
    }
    EXPECT_EQ(engine_->live(), 0u);
  }
  GenerateRequest Turn(std::vector<int32_t> prompt, int32_t most, uint64_t key = 5) {
    return {.prompt = std::move(prompt), .max_new_tokens = most, .random_key = key};
  }

  ModelConfig config_ = TinyModel();
  std::unique_ptr<Engine> engine_;
  std::vector<GenerateRequest> requests_;
  std::vector<GenerateResult> results_;
  std::vector<Engine::RequestId> ids_;
  std::vector<float> coming_[2];
};

// Random batches, orders, cancellations and versions: every turn is, bit for bit, the function of its request and its
// version runs that Replay computes alone. Invariants 5 and 6.
TEST_F(EngineTest, TurnsDependOnNothingButTheirRequestAndVersions) {
  Replay replay(config_);
  int swapped_turns = 0, checked = 0, restarted = 0, preempted = 0;
  for (uint64_t seed = 0; seed < 25; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomStream random(MixKey(1234, seed));
    constexpr int64_t kBatches[] = {1, 2, 3, 7, 16, 64};
    const auto pages = CachePages(config_.context, 1) + static_cast<int64_t>(random.Below(random.Below(2) ? 4 : 200));
    MakeWith(pages, {.max_batch = kBatches[random.Below(6)],
                     .on_swap = random.Below(3) == 0 ? KeyValues::kRecompute : KeyValues::kKeep});
    requests_.clear(), results_.clear(), ids_.clear();
    uint32_t version = 0;
    const uint64_t turns = 1 + random.Below(40);
    while (requests_.size() < turns || engine_->live() > 0) {
      for (uint64_t n = random.Below(9); n > 0 && requests_.size() < turns; --n) Submit(RandomTurn(config_, random));
      if (random.Below(25) == 0) engine_->Cancel(ids_[random.Below(ids_.size())]);
      if (random.Below(6) == 0) {
        ++version;
        ASSERT_TRUE(engine_->Install({1, version}, WeightsOf(config_, {1, version})).ok());
      }
      engine_->Step();
    }
    for (size_t n = 0; n < turns; ++n) {
      if (results_[n].finish == proto::CANCELLED) continue;
      ASSERT_NO_FATAL_FAILURE(replay.Check(requests_[n], results_[n])) << "turn " << n;
      swapped_turns += results_[n].version_runs.size() > 1;
      restarted += !results_[n].restarts.empty();
      ++checked;
    }
    preempted += static_cast<int>(engine_->preemptions());
    EXPECT_EQ(engine_->pages_held(), 0);
  }
  EXPECT_GT(swapped_turns, 30);
  EXPECT_GT(restarted, 30);
  EXPECT_GT(preempted, 30);
  EXPECT_GT(checked, 200);
}

// Turns that name the versions of their rows, among others that take the newest, while newer ones come in: each is read
// in by the versions that it names, and is what Replay computes from them.
TEST_F(EngineTest, TurnsAreWrittenByTheVersionsThatTheyName) {
  Replay replay(config_);
  int named = 0, switched = 0;
  for (uint64_t seed = 0; seed < 25; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomStream random(MixKey(4321, seed));
    Make(/*turns=*/static_cast<int64_t>(1 + random.Below(80)), static_cast<int64_t>(1 + random.Below(20)));
    requests_.clear(), results_.clear(), ids_.clear();
    const auto keep = static_cast<uint32_t>(1 + random.Below(5));
    engine_->Keep(keep);
    uint32_t newest = 0;
    while (requests_.size() < 40 || engine_->live() > 0) {
      for (uint64_t n = random.Below(9); n > 0 && requests_.size() < 40; --n) {
        GenerateRequest turn = RandomTurn(config_, random);
        uint32_t version = newest - std::min<uint32_t>(newest, random.Below(keep + 1));
        for (uint64_t runs = random.Below(4); runs > 0 && version <= newest; --runs) {
          turn.readers.push_back({{1, version}, static_cast<uint32_t>(1 + random.Below(12))});
          version += 1 + random.Below(2);
        }
        Submit(turn);
      }
      if (random.Below(25) == 0) engine_->Cancel(ids_[random.Below(ids_.size())]);
      if (random.Below(4) == 0) {
        ++newest;
        ASSERT_TRUE(engine_->Install({1, newest}, WeightsOf(config_, {1, newest})).ok());
        for (uint32_t behind = 0; behind <= std::min(keep, newest); ++behind) {
          EXPECT_TRUE(engine_->Holds({1, newest - behind}));
        }
      }
      engine_->Step();
    }
    for (size_t n = 0; n < requests_.size(); ++n) {
      const Readers& readers = requests_[n].readers;
      if (results_[n].finish != proto::CANCELLED) {
        ASSERT_NO_FATAL_FAILURE(replay.Check(requests_[n], results_[n])) << "turn " << n;
      }
      if (readers.empty()) continue;
      std::vector<VersionId> wanted = Expand(readers);
      const std::vector<VersionId> had = Expand(results_[n].cache_runs);
      wanted.resize(had.size(), readers.back().version);  // the last goes on without end
      ASSERT_EQ(had, wanted) << "turn " << n;
      ++named;
      switched += results_[n].version_runs.size() > 1;
    }
  }
  EXPECT_GT(named, 400);
  EXPECT_GT(switched, 30);
}

// What an engine recorded, another one does again, wherever caches were dropped: by swaps here, or for want of memory.
TEST_F(EngineTest, ARecordIsPlayedAgain) {
  int restarted = 0;
  for (uint64_t seed = 0; seed < 12; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomStream random(MixKey(777, seed));
    const bool recompute = random.Below(2) == 0;
    MakeWith(CachePages(config_.context, 1) + static_cast<int64_t>(random.Below(6)),
             {.max_batch = 16, .on_swap = recompute ? KeyValues::kRecompute : KeyValues::kKeep});
    requests_.clear(), results_.clear(), ids_.clear();
    uint32_t newest = 0;
    for (int n = 0; n < 20; ++n) Submit(RandomTurn(config_, random));
    while (engine_->live() > 0) {
      engine_->Step();
      if (random.Below(5) > 0) continue;
      // A turn may be cancelled just when its cache has been dropped.
      const Engine::RequestId doomed = random.Below(2) == 0 ? ids_[random.Below(ids_.size())] : 0;
      ++newest;
      ASSERT_TRUE(engine_->Install({1, newest}, WeightsOf(config_, {1, newest})).ok());
      engine_->Cancel(doomed);
    }
    const std::vector<GenerateRequest> requests = std::move(requests_);
    const std::vector<GenerateResult> recorded = std::move(results_);
    requests_.clear(), results_.clear(), ids_.clear();
    Make(/*turns=*/5, /*max_batch=*/7);
    engine_->Keep(newest);
    for (uint32_t version = 1; version <= newest; ++version) {
      ASSERT_TRUE(engine_->Install({1, version}, WeightsOf(config_, {1, version})).ok());
    }
    for (size_t n = 0; n < requests.size(); ++n) {
      GenerateRequest request = requests[n];
      request.readers = recorded[n].cache_runs;
      request.restarts = recorded[n].restarts;
      request.max_new_tokens = std::max<int32_t>(1, static_cast<int32_t>(recorded[n].output.size()));
      Submit(request);
    }
    Finish();
    for (size_t n = 0; n < requests.size(); ++n) {
      SCOPED_TRACE(testing::Message() << "turn " << n);
      if (recorded[n].output.empty()) continue;  // cancelled before it wrote anything
      ASSERT_EQ(results_[n].output, recorded[n].output);
      ASSERT_EQ(results_[n].model_logprobs, recorded[n].model_logprobs);
      ASSERT_EQ(results_[n].version_runs, recorded[n].version_runs);
      if (recorded[n].finish != proto::CANCELLED) {
        ASSERT_EQ(results_[n].cache_runs, recorded[n].cache_runs);
      }
      restarted += !recorded[n].restarts.empty();
    }
  }
  EXPECT_GT(restarted, 30);
}

TEST_F(EngineTest, VersionsThatNobodyNamesAreDroppedAndCannotBeNamed) {
  Make(4, 4);
  engine_->Keep(1);
  GenerateRequest old = Turn({1, 2}, 20);
  old.readers = {{{1, 0}, 1}};
  Submit(old);
  for (uint32_t version = 1; version <= 3; ++version) {
    ASSERT_TRUE(engine_->Install({1, version}, WeightsOf(config_, {1, version})).ok());
  }
  EXPECT_TRUE(engine_->Holds({1, 0}));  // a live turn names it
  EXPECT_FALSE(engine_->Holds({1, 1}));
  EXPECT_TRUE(engine_->Holds({1, 2}));
  Finish();
  ASSERT_TRUE(engine_->Install({1, 4}, WeightsOf(config_, {1, 4})).ok());
  EXPECT_FALSE(engine_->Holds({1, 0}));
  const absl::Status status = engine_->Submit(old, {}, [](GenerateResult) {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(), "version 1.0 is not here");
}

// The same turns again, in other batches and orders, under one version: equal token for token.
TEST_F(EngineTest, SameTurnsInAnyBatchAndOrderGiveTheSameBits) {
  using kernels::WeightType;
  std::vector<std::pair<std::string, WeightType>> arithmetics;
  for (const std::string& instructions : kernels::InstructionSets()) {
    for (const WeightType type : {WeightType::kFloat32, WeightType::kBf16, WeightType::kInt8}) {
      arithmetics.emplace_back(instructions, type);
    }
  }
  for (const auto& [instructions, type] : arithmetics) {
    kernels::ForceInstructionSet(instructions);
    std::map<uint64_t, GenerateResult> first;
    for (int64_t batch : {1, 5, 64}) {
      Make(/*turns=*/batch + 7, batch, type);
      requests_.clear(), results_.clear(), ids_.clear();
      RandomStream random(9);
      std::vector<GenerateRequest> turns;
      for (int n = 0; n < 30; ++n) turns.push_back(RandomTurn(config_, random));
      RandomStream order(batch);
      for (size_t n = turns.size(); n > 1; --n) std::swap(turns[n - 1], turns[order.Below(n)]);
      for (const auto& turn : turns) Submit(turn);
      Finish();
      for (size_t n = 0; n < turns.size(); ++n) {
        auto [found, inserted] = first.try_emplace(turns[n].random_key, results_[n]);
        if (inserted) continue;
        ASSERT_EQ(found->second.output, results_[n].output) << instructions << " batch " << batch;
        ASSERT_EQ(found->second.sampled_logprobs, results_[n].sampled_logprobs);
        ASSERT_EQ(found->second.model_logprobs, results_[n].model_logprobs);
      }
    }
  }
  kernels::ForceInstructionSet("");
}

TEST_F(EngineTest, SwapInMidTurnKeepsTheCacheAndStampsEveryToken) {
  Make(4, 4);
  GenerateRequest turn = Turn({1, 2, 3}, 7);
  int tokens = 0;
  Submit(turn, [&](int32_t) { ++tokens; });
  for (uint32_t version = 0; tokens < 7; ++version) {
    if (tokens == 3 || tokens == 5) {
      ASSERT_TRUE(engine_->Install({1, version}, WeightsOf(config_, {1, version})).ok());
    }
    engine_->Step();
  }
  // Tokens 0-2 by version 0, 3-4 by 3, 5-6 by 5. The cache: 3 of the prompt and tokens 0-5; a token enters it one step
  // after it was written, so the row that wrote token i also read token i - 1.
  const auto is = [](uint32_t number, uint32_t count) {
    return testing::AllOf(testing::Field(&VersionCount::version, VersionId{1, number}),
                          testing::Field(&VersionCount::count, count));
  };
  EXPECT_THAT(results_[0].version_runs, ElementsAre(is(0, 3), is(3, 2), is(5, 2)));
  EXPECT_THAT(results_[0].cache_runs, ElementsAre(is(0, 5), is(3, 2), is(5, 2)));
  Replay(config_).Check(turn, results_[0]);
}

// New weights that come over steps: every step gives a token, the version changes once, and what it writes is what
// the same weights write that were installed at once, in every type of weights and with shapes that fill no panel.
TEST_F(EngineTest, NewWeightsComeOverStepsWithoutAPause) {
  for (const auto type : {kernels::WeightType::kFloat32, kernels::WeightType::kBf16, kernels::WeightType::kInt8}) {
    for (const bool tied : {true, false}) {
      config_.tied_head = tied;
      MakeWith(CachePages(config_.context, 4), {.max_batch = 4, .install_part = 500}, type);
      requests_.clear(), results_.clear(), ids_.clear();
      const GenerateRequest turn = Turn({1, 2, 3}, 40);
      int tokens = 0;
      Submit(turn, [&](int32_t) { ++tokens; });
      engine_->Step();
      ASSERT_TRUE(InstallOverSteps({1, 1}).ok());
      EXPECT_TRUE(engine_->installing());
      EXPECT_EQ(engine_->version(), (VersionId{1, 0}));
      int steps = 0;
      for (; engine_->installing(); ++steps) {
        const int before = tokens;
        EXPECT_EQ(engine_->Step(), 1);
        EXPECT_EQ(tokens, before + 1);
      }
      EXPECT_EQ(steps, std::min<int64_t>(32, (ParameterCount(config_) + 499) / 500));
      EXPECT_TRUE(engine_->install_status().ok());
      EXPECT_EQ(engine_->version(), (VersionId{1, 1}));
      std::ranges::fill(coming_[1], std::nanf(""));  // they are the caller's again
      Finish();
      ASSERT_EQ(results_[0].version_runs.size(), 2u);
      const auto first = static_cast<int>(results_[0].version_runs[0].count);

      auto at_once = MakeCpuDecoder(config_, CachePages(config_.context, 4), type);
      Engine other(std::move(at_once), {.max_batch = 4});
      ASSERT_TRUE(other.Install({1, 0}, WeightsOf(config_, {1, 0})).ok());
      GenerateResult wanted;
      int others = 0;
      ASSERT_TRUE(other
                      .Submit(
                          turn, [&](int32_t) { ++others; }, [&](GenerateResult result) { wanted = result; })
                      .ok());
      while (others < first) other.Step();
      ASSERT_TRUE(other.Install({1, 1}, WeightsOf(config_, {1, 1})).ok());
      while (other.Step() > 0) {
      }
      EXPECT_EQ(results_[0].output, wanted.output);
      EXPECT_EQ(results_[0].model_logprobs, wanted.model_logprobs);
    }
  }
}

TEST_F(EngineTest, WeightsOnTheirWayComeBeforeNewerOnesAndNeedNoTurns) {
  MakeWith(CachePages(config_.context, 4), {.max_batch = 4, .install_part = 500});
  ASSERT_TRUE(InstallOverSteps({1, 1}).ok());
  EXPECT_FALSE(engine_->installing()) << "no turn is live";
  EXPECT_EQ(engine_->version(), (VersionId{1, 1}));
  engine_->Keep(2);
  Submit(Turn({1, 2, 3}, 40));
  engine_->Step();
  ASSERT_TRUE(InstallOverSteps({1, 2}).ok());
  ASSERT_TRUE(InstallOverSteps({1, 3}).ok());
  EXPECT_TRUE(engine_->Holds({1, 2}));
  EXPECT_EQ(engine_->version(), (VersionId{1, 2}));
  EXPECT_EQ(InstallOverSteps({1, 1}).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(engine_->version(), (VersionId{1, 3}));
  engine_->Step();
  ASSERT_TRUE(InstallOverSteps({1, 4}).ok());
  engine_->Cancel(ids_[0]);
  engine_->Step();
  EXPECT_EQ(engine_->version(), (VersionId{1, 4})) << "with no turn left it comes into force at once";
}

TEST_F(EngineTest, VersionsNeverGoBack) {
  Make(4, 4);
  const std::vector<float> weights = WeightsOf(config_, {1, 3});
  ASSERT_TRUE(engine_->Install({1, 3}, weights).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(engine_->Install({1, 2}, weights)));
  EXPECT_TRUE(absl::IsFailedPrecondition(engine_->Install({0, 9}, weights)));
  EXPECT_TRUE(engine_->Install({1, 3}, weights).ok());
  EXPECT_TRUE(engine_->Install({2, 0}, weights).ok());
  EXPECT_EQ(engine_->version(), (VersionId{2, 0}));
  const absl::Status status = engine_->Install({2, 1}, std::span(weights).first(10));
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(engine_->version(), (VersionId{2, 0}));
}

TEST_F(EngineTest, NothingRunsBeforeTheFirstInstall) {
  engine_ =
      std::make_unique<Engine>(MakeCpuDecoder(config_, CachePages(config_.context, 2)), EngineOptions{.max_batch = 2});
  Submit(Turn({1}, 1));
  EXPECT_EQ(engine_->Step(), 0);
  EXPECT_EQ(engine_->live(), 1u);
  ASSERT_TRUE(engine_->Install({1, 0}, WeightsOf(config_, {1, 0})).ok());
  EXPECT_EQ(engine_->Step(), 1);
  EXPECT_EQ(engine_->Step(), 0);
}

TEST_F(EngineTest, SaysWhatIsWrongWithARequest) {
  Make(2, 2);
  const auto error = [&](GenerateRequest request) {
    auto id = engine_->Submit(std::move(request), {}, [](GenerateResult) { ADD_FAILURE(); });
    EXPECT_TRUE(absl::IsInvalidArgument(id.status()));
    return std::string(id.status().message());
  };
  EXPECT_EQ(error(Turn({}, 1)), "prompt of 0 tokens: 1 to 39 fit a context of 40 with a token of output");
  EXPECT_EQ(error(Turn(std::vector<int32_t>(40, 1), 1)),
            "prompt of 40 tokens: 1 to 39 fit a context of 40 with a token of output");
  EXPECT_EQ(error(Turn({1, 12}, 1)), "prompt holds id 12, the vocabulary 0 to 11");
  EXPECT_EQ(error(Turn({-1}, 1)), "prompt holds id -1, the vocabulary 0 to 11");
  EXPECT_EQ(error(Turn({1}, 0)), "max_new_tokens is 0, at least 1 expected");
  GenerateRequest cold = Turn({1}, 1);
  cold.temperature = -1;
  EXPECT_EQ(error(cold), "temperature is -1, 0 or more expected");
  EXPECT_EQ(engine_->live(), 0u);
}

TEST_F(EngineTest, OutputEndsWithTheContext) {
  Make(2, 16);
  Submit(Turn(std::vector<int32_t>(33, 1), 100));
  Submit(Turn(std::vector<int32_t>(39, 1), 100));
  Finish();
  EXPECT_EQ(results_[0].output.size(), 7u);
  EXPECT_EQ(results_[1].output.size(), 1u);
  EXPECT_EQ(results_[0].finish, proto::LENGTH);
}

TEST_F(EngineTest, StopIdEndsTheTurnAndIsItsLastToken) {
  Make(2, 16);
  GenerateRequest turn = Turn({1, 2}, 30);
  Submit(turn);
  Finish();
  const std::vector<int32_t> free = results_[0].output;
  turn.stop_ids = {-1, free[4]};
  Submit(turn);
  Finish();
  EXPECT_EQ(results_[1].finish, proto::STOP);
  const size_t end = std::find(free.begin(), free.end(), free[4]) - free.begin() + 1;
  EXPECT_EQ(results_[1].output, std::vector<int32_t>(free.begin(), free.begin() + end));
}

TEST_F(EngineTest, GreedyTakesTheMostProbableTokenWhateverTheKey) {
  Make(2, 16);
  GenerateRequest turn = Turn({1, 2}, 12);
  turn.temperature = 0;
  Submit(turn);
  turn.random_key = 99;
  Submit(turn);
  Finish();
  EXPECT_EQ(results_[0].output, results_[1].output);
  EXPECT_EQ(results_[0].sampled_logprobs, std::vector<float>(12, 0.0f));
  for (float logprob : results_[0].model_logprobs) EXPECT_GE(logprob, std::log(1.0f / 12));
}

TEST_F(EngineTest, CancelGivesWhatThereIsAndFreesTheSlot) {
  Make(/*turns=*/1, /*max_batch=*/1);
  Submit(Turn({1, 2}, 30));
  const size_t second = Submit(Turn({3}, 2, 6));
  const size_t third = Submit(Turn({4}, 2, 7));
  engine_->Step();
  engine_->Step();
  engine_->Cancel(ids_[0]);
  EXPECT_EQ(results_[0].finish, proto::CANCELLED);
  EXPECT_EQ(results_[0].output.size(), 2u);
  EXPECT_EQ(Expand(results_[0].version_runs).size(), 2u);
  engine_->Cancel(ids_[0]);      // has ended: nothing happens
  engine_->Cancel(ids_[third]);  // still waiting
  EXPECT_EQ(results_[third].finish, proto::CANCELLED);
  EXPECT_TRUE(results_[third].output.empty());
  Finish();
  EXPECT_EQ(results_[second].output.size(), 2u);
}

TEST_F(EngineTest, CancellingTheOneThatReadsASharedPromptDoesNotStopTheOthers) {
  Make(/*turns=*/8, /*max_batch=*/4);
  // The first turn decodes, so that each step has 3 rows for prompts; its third token finds the second in mid-prompt.
  int tokens = 0;
  Submit(Turn({1}, 30, 8), [&](int32_t) {
    if (++tokens == 3) engine_->Cancel(ids_[1]);
  });
  engine_->Step();
  const GenerateRequest turn = Turn({1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 3);
  for (int n = 0; n < 3; ++n) Submit(turn);
  Finish();
  EXPECT_EQ(results_[1].finish, proto::CANCELLED);
  EXPECT_EQ(Expand(results_[1].cache_runs).size(), 6u);  // two steps of 3 rows
  for (size_t n : {2, 3}) Replay(config_).Check(turn, results_[n]);
}

TEST_F(EngineTest, CallbacksMaySubmitAndCancel) {
  Make(3, 8);
  int chain = 0, tokens = 0;
  std::function<void(GenerateResult)> again = [&](GenerateResult) {
    if (++chain == 20) return;
    ASSERT_TRUE(engine_->Submit(Turn({1, 2}, 2, chain), {}, again).ok());
  };
  ASSERT_TRUE(engine_->Submit(Turn({1}, 1), {}, again).ok());
  // Cancels itself from its own callback, whose captured state must outlive the call, and takes its place anew.
  const std::vector<int> captured(100, 7);
  const size_t self = Submit(Turn({5}, 30), [&, captured](int32_t) {
    if (++tokens < 2) return;
    engine_->Cancel(ids_[1]);
    engine_->Cancel(ids_[0]);
    ASSERT_TRUE(engine_->Submit(Turn({6}, 1), {}, {}).ok());
    EXPECT_THAT(captured, testing::Each(7));
  });
  Submit(Turn({7}, 30, 3));
  Finish();
  EXPECT_EQ(chain, 20);
  EXPECT_EQ(tokens, 2);
  EXPECT_EQ(results_[self].finish, proto::CANCELLED);
  EXPECT_EQ(results_[1].finish, proto::CANCELLED);
  EXPECT_EQ(results_[self].output.size(), 2u);
  EXPECT_EQ(results_[1].output.size(), 1u);
}

TEST_F(EngineTest, TurnsThatAskTheSameReadThePromptOnce) {
  Make(/*turns=*/32, /*max_batch=*/16);
  for (uint64_t key = 0; key < 16; ++key) Submit(Turn({1, 2, 3, 4, 5, 6, 7, 8}, 1, key));
  Finish();
  // One reads all 8 tokens; the other 15 only the last one.
  EXPECT_EQ(engine_->rows_run(), 8u + 15u);
  Submit(Turn({1, 2, 3, 4, 5, 6, 7, 8}, 1, 99));
  Finish();
  EXPECT_EQ(engine_->rows_run(), 24u);  // kept after the turns ended
  ASSERT_TRUE(engine_->Install({1, 1}, WeightsOf(config_, {1, 1})).ok());
  Submit(Turn({1, 2, 3, 4, 5, 6, 7, 8}, 1, 99));
  Finish();
  EXPECT_EQ(engine_->rows_run(), 32u);  // not across versions
}

TEST_F(EngineTest, ATurnGoesOnWithTheCacheOfTheOneBefore) {
  config_.context = 200;
  Make(/*turns=*/4, /*max_batch=*/8);
  GenerateRequest first = Turn(std::vector<int32_t>(37, 3), 30);
  Submit(first);
  Finish();
  EXPECT_EQ(engine_->rows_run(), 66u);
  GenerateRequest second = first;
  second.prompt.insert(second.prompt.end(), results_[0].output.begin(), results_[0].output.end());
  second.prompt.insert(second.prompt.end(), {1, 2, 3});
  Submit(second);
  Finish();
  // 70 tokens of prompt, of which four pages were there; then 29 rows of output.
  EXPECT_EQ(engine_->rows_run(), 66u + 6u + 29u);
  Replay(config_).Check(second, results_[1]);
  // Not after a swap: what a turn would read in itself now is another version's.
  ASSERT_TRUE(engine_->Install({1, 1}, WeightsOf(config_, {1, 1})).ok());
  Submit(second);
  Finish();
  EXPECT_EQ(engine_->rows_run(), 101u + 70u + 29u);
  Replay(config_).Check(second, results_[2]);
}

// A quarter of the pages that an unbounded run takes: all turns end, with the same bits, and none beyond the bound.
TEST_F(EngineTest, MemoryIsBoundedByPreemptingAndNothingElseChanges) {
  config_.context = 160;
  RandomStream random(6);
  std::vector<GenerateRequest> turns;
  for (uint64_t n = 0; n < 60; ++n) {
    std::vector<int32_t> prompt(1 + random.Below(100));
    for (int32_t& id : prompt) id = static_cast<int32_t>(random.Below(12));
    turns.push_back(Turn(std::move(prompt), static_cast<int32_t>(1 + random.Below(60)), n));
  }
  std::vector<GenerateResult> expected;
  int64_t peak = 0;
  for (const int64_t share : {1, 4}) {
    MakeWith(share == 1 ? 10'000 : peak / share, {.max_batch = 32});
    requests_.clear(), results_.clear(), ids_.clear();
    for (const GenerateRequest& turn : turns) Submit(turn);
    int64_t most = 0;
    while (engine_->Step() > 0) most = std::max(most, engine_->pages_held());
    EXPECT_EQ(engine_->live(), 0u);
    EXPECT_EQ(engine_->preemptions() > 0, share > 1);
    if (share == 1) {
      expected = results_;
      peak = most;
      continue;
    }
    EXPECT_LE(most, peak / share);
    for (size_t n = 0; n < turns.size(); ++n) {
      ASSERT_EQ(results_[n].output, expected[n].output) << "turn " << n;
      ASSERT_EQ(results_[n].sampled_logprobs, expected[n].sampled_logprobs) << "turn " << n;
      EXPECT_EQ(results_[n].cache_runs, expected[n].cache_runs) << "turn " << n;
    }
  }
}

TEST_F(EngineTest, ASwapMayHaveTheCachesReadInAnew) {
  MakeWith(CachePages(config_.context, 4), {.max_batch = 4, .on_swap = KeyValues::kRecompute});
  const GenerateRequest turn = Turn({1, 2, 3}, 7);
  int tokens = 0;
  Submit(turn, [&](int32_t) { ++tokens; });
  while (tokens < 3) engine_->Step();
  ASSERT_TRUE(engine_->Install({1, 1}, WeightsOf(config_, {1, 1})).ok());
  Finish();
  EXPECT_EQ(results_[0].cache_runs, (VersionRuns{{{1, 1}, 9}}));
  EXPECT_EQ(results_[0].version_runs, (VersionRuns{{{1, 0}, 3}, {{1, 1}, 4}}));
  ASSERT_EQ(results_[0].restarts.size(), 1u);
  EXPECT_EQ(results_[0].restarts[0].output, 3u);
  EXPECT_EQ(results_[0].restarts[0].cache_runs, (VersionRuns{{{1, 0}, 5}}));
  Replay(config_).Check(turn, results_[0]);
}

TEST_F(EngineTest, ADeadlineEndsATurnWithWhatItHas) {
  VirtualClock clock;
  MakeWith(CachePages(config_.context, 4), {.max_batch = 2, .clock = &clock});
  for (uint64_t n = 0; n < 3; ++n) {  // the last one waits
    GenerateRequest turn = Turn({1, 2}, 30, n);
    if (n != 1) turn.deadline_s = 5;
    Submit(turn);
  }
  engine_->Step();
  clock.Advance(4.9);
  engine_->Step();
  EXPECT_EQ(engine_->live(), 3u);
  clock.Advance(0.1);
  Finish();
  EXPECT_EQ(results_[0].finish, proto::OVERDUE);
  EXPECT_EQ(results_[0].output.size(), 2u);
  EXPECT_EQ(results_[2].finish, proto::OVERDUE);
  EXPECT_TRUE(results_[2].output.empty());
  EXPECT_EQ(results_[1].output.size(), 30u);
}

// Pearson's chi-square of the first tokens of 20,000 turns against the probabilities that the engine itself states.
TEST_F(EngineTest, FrequenciesMatchTheStatedProbabilities) {
  for (float temperature : {1.0f, 0.6f}) {
    Make(128, 64);
    constexpr int kDraws = 20000;
    std::map<int32_t, int> counts;
    std::map<int32_t, double> probabilities;
    for (int n = 0; n < kDraws; ++n) {
      GenerateRequest turn = Turn({1, 2, 3}, 1, MixKey(42, n));
      turn.temperature = temperature;
      ASSERT_TRUE(engine_
                      ->Submit(turn, {},
                               [&](GenerateResult result) {
                                 ++counts[result.output[0]];
                                 probabilities[result.output[0]] = std::exp(result.sampled_logprobs[0]);
                               })
                      .ok());
    }
    Finish();
    double total = 0, chi_square = 0;
    for (const auto& [token, probability] : probabilities) {
      total += probability;
      const double expected = probability * kDraws;
      chi_square += (counts[token] - expected) * (counts[token] - expected) / expected;
    }
    EXPECT_GE(probabilities.size(), 5u);
    EXPECT_NEAR(total, 1, 2e-3);  // tokens too rare to be drawn are missing
    const double freedom = static_cast<double>(probabilities.size()) - 1;
    EXPECT_LT(chi_square, freedom + 3.5 * std::sqrt(2 * freedom)) << "temperature " << temperature;
  }
}

}  // namespace
}  // namespace tandem
