#include "rollout/play_tickets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "rollout/offline.h"
#include "rollout/tally.h"
#include "tests/rollout/played.h"

namespace tandem {
namespace {

using testing::HasSubstr;

class PlayTicketsTest : public testing::Test {
 protected:
  std::unique_ptr<Cast> MakeCast(const proto::Config& config) {
    if (!environment_) environment_ = *MakeEnvironment(config.environment(), config.seed(), "");
    auto cast = Cast::CreateForRun(config, *environment_, clock_, Factory());
    EXPECT_TRUE(cast.ok()) << cast.status();
    return *std::move(cast);
  }

  DecoderFactory Factory() { return Babblers(*environment_); }

  void Install(Cast& cast, uint32_t number) {
    const ModelConfig& shape = cast.source(cast.config().policies().begin()->first).shape;
    for (auto& [name, engine] : cast.engines()) {
      ASSERT_TRUE(engine->Install({1, number}, BabblingWeights(shape, number)).ok());
    }
  }

  VirtualClock clock_;  // stands still: times are the same in every order
  std::unique_ptr<Environment> environment_;
};

TEST_F(PlayTicketsTest, AGroupDoesNotDependOnHowManyAreInPlay) {
  for (const bool shared : {false, true}) {
    std::vector<std::string> expected;
    for (const size_t in_play : {1, 3, 40}) {
      proto::Config config = SmallConfig(shared);
      config.mutable_rollout()->set_max_batch(in_play == 3 ? 5 : 24);
      auto cast = MakeCast(config);
      Install(*cast, 3);
      const auto groups = PlayTickets(*cast, MakeTickets(40, proto::TRAIN, 8), in_play);
      ASSERT_TRUE(groups.ok()) << groups.status();
      ASSERT_EQ(groups->size(), 40u);
      for (size_t i = 0; i < groups->size(); ++i) {
        const PlayedGroup& played = (*groups)[i];
        ASSERT_EQ(played.group.ticket().id(), i);
        ASSERT_TRUE(CheckGroup(played.group, played.frames).ok()) << CheckGroup(played.group, played.frames);
        if (in_play == 1) expected.push_back(Unmasked(played.group, played.frames));
        ASSERT_EQ(Unmasked(played.group, played.frames), expected[i])
            << "ticket " << i << " with " << in_play << " in play";
      }
    }
    EXPECT_NE(expected[0], expected[1]);
  }
}

TEST_F(PlayTicketsTest, TurnsCarryEverythingThatIsKnownOfThem) {
  auto cast = MakeCast(SmallConfig());
  Install(*cast, 3);
  const auto groups = PlayTickets(*cast, MakeTickets(20, proto::TRAIN, 8));
  ASSERT_TRUE(groups.ok()) << groups.status();
  std::map<std::string, int> faults;
  std::set<uint64_t> keys;
  size_t turns = 0, masked = 0;
  for (const PlayedGroup& played : *groups) {
    EXPECT_EQ(played.group.format(), kGroupFormat);
    EXPECT_EQ(played.group.episodes_size(), 8);
    for (const TurnView& view : ViewTurns(played.group, played.frames)) {
      const proto::Turn& turn = *view.turn;
      ++turns;
      masked += turn.masked();
      keys.insert(turn.random_key());
      EXPECT_EQ(turn.policy(), turn.role());
      EXPECT_EQ(turn.sampling().temperature(), 1);
      EXPECT_EQ(turn.sampling().max_new_tokens(), turn.role() == "planner" ? 40u : 4u);
      ASSERT_EQ(turn.version_runs_size(), 1);
      EXPECT_EQ(turn.version_runs(0).version().incarnation(), 1u);
      EXPECT_EQ(turn.version_runs(0).version().number(), 3u);
      EXPECT_EQ(turn.rewards(0).name(), "team");
      EXPECT_EQ(turn.prompt_text().empty(), view.episode->episode() != 0) << "text for a group's first episode only";
      if (turn.finish() == proto::STOP) {
        EXPECT_EQ(view.output_ids.back(), CharacterTokenizer::kEnd);
      }
    }
    for (const proto::Episode& episode : played.group.episodes()) {
      EXPECT_EQ(episode.question().empty(), episode.episode() != 0);
      for (const proto::Fault& fault : episode.faults()) ++faults[fault.kind()];
    }
  }
  EXPECT_EQ(keys.size(), turns) << "no two turns share their random numbers";
  EXPECT_GT(masked, 0u);
  EXPECT_GT(faults["syntax"], 0);
  EXPECT_GT(faults["bad_result"], 0);
  proto::RolloutMetrics metrics;
  for (const PlayedGroup& played : *groups) CountGroup(played.group, &metrics);
  EXPECT_EQ(metrics.episodes(), 160u);
  EXPECT_EQ(metrics.faults().at("syntax"), static_cast<uint32_t>(faults["syntax"]));
  EXPECT_GT(metrics.masked_tokens(), 0u);
}

TEST_F(PlayTicketsTest, NewWeightsInTheMiddleAreStampedAndMadeReadable) {
  auto cast = MakeCast(SmallConfig());
  Install(*cast, 0);
  auto play = GroupPlay::Start(*cast, MakeTicket(1, proto::TRAIN, 8));
  ASSERT_TRUE(play.ok()) << play.status();
  for (uint32_t step = 1; !(*play)->done(); ++step) {
    if (step % 5 == 0) Install(*cast, step / 5);
    cast->Step();
  }
  const auto played = (*play)->Finish();
  ASSERT_TRUE(played.ok());
  ASSERT_TRUE(CheckGroup(played->group, played->frames).ok());
  size_t mixed = 0;
  for (const TurnView& view : ViewTurns(played->group, played->frames)) {
    if (view.turn->version_runs_size() < 2) continue;
    ++mixed;
    ASSERT_EQ(view.turn->output_pieces_size(), view.turn->version_runs_size());
    size_t characters = 0;
    for (int i = 0; i < view.turn->output_pieces_size(); ++i) {
      EXPECT_LE(view.turn->output_pieces(i).size(), view.turn->version_runs(i).count());
      characters += view.turn->output_pieces(i).size();
    }
    EXPECT_EQ(characters, view.output_ids.size() - (view.output_ids.back() == CharacterTokenizer::kEnd));
  }
  EXPECT_GT(mixed, 4u);
}

TEST_F(PlayTicketsTest, ATicketIsNotBegunWithAnEngineOlderThanItsLeast) {
  auto cast = MakeCast(SmallConfig());
  proto::Ticket ticket = MakeTicket(7, proto::TRAIN, 2);
  EXPECT_FALSE(cast->ReadyFor(ticket)) << "no weights yet";
  Install(*cast, 4);
  proto::TicketLimit* limit = ticket.add_limits();
  limit->set_policy("executor");
  limit->mutable_least()->set_incarnation(1);
  for (const uint32_t least : {3, 4, 5}) {
    limit->mutable_least()->set_number(least);
    const auto play = GroupPlay::Start(*cast, ticket);
    EXPECT_EQ(play.ok(), least <= 4) << least;
    if (!play.ok()) {
      EXPECT_THAT(std::string(play.status().message()), HasSubstr("ticket 7"));
    }
  }
  limit->mutable_least()->set_incarnation(2);  // a later incarnation is newer, whatever its number
  limit->mutable_least()->set_number(0);
  EXPECT_FALSE(cast->ReadyFor(ticket));
}

TEST_F(PlayTicketsTest, TheWarmStartIsScriptedWithTheConfiguredErrors) {
  proto::Config config = SmallConfig();
  config.mutable_sft()->set_corrupt_plans(0.3);
  config.mutable_sft()->set_corrupt_steps(0.2);
  auto cast = MakeCast(config);  // no weights are needed
  const auto groups = PlayTickets(*cast, MakeTickets(3000, proto::SFT, 1));
  ASSERT_TRUE(groups.ok()) << groups.status();
  size_t wrong_plans = 0, wrong_steps = 0, steps = 0;
  const auto tokenizer = *CharacterTokenizer::Create(environment_->alphabet());
  for (const PlayedGroup& played : *groups) {
    ASSERT_TRUE(CheckGroup(played.group, played.frames).ok());
    const Task task = *environment_->MakeTask(proto::TRAINING, played.group.ticket().task());
    for (const TurnView& view : ViewTurns(played.group, played.frames)) {
      EXPECT_EQ(view.turn->finish(), proto::SCRIPTED);
      EXPECT_EQ(view.turn->version_runs_size(), 0);
      EXPECT_EQ(view.sampled_logprobs[0], 0);
      EXPECT_EQ(view.output_ids.back(), CharacterTokenizer::kEnd);
      EXPECT_EQ(view.loss_mask[0], view.turn->masked() ? 0 : 1);
      EXPECT_EQ(view.turn->prompt_text(), "");
      const std::string prompt = tokenizer.Decode({view.prompt_ids.begin(), view.prompt_ids.end()});
      const std::string output = tokenizer.Decode({view.output_ids.begin(), view.output_ids.end()});
      if (view.turn->role() == "planner") {
        wrong_plans += output != *task.plan;
      } else if (!view.turn->masked()) {
        ++steps;
        wrong_steps += output != environment_->ScriptedStep(prompt.substr(0, 3), nullptr);
      }
    }
  }
  EXPECT_NEAR(wrong_plans / 3000.0, 0.3, 0.03);
  EXPECT_NEAR(static_cast<double>(wrong_steps) / static_cast<double>(steps), 0.2, 0.02);
}

class PlayEpisodesTest : public PlayTicketsTest {
 protected:
  OfflineRun Run(uint64_t episodes) {
    OfflineRun run;
    run.config = SmallConfig();
    environment_ = *MakeEnvironment(run.config.environment(), 0, "");
    run.environment = environment_.get();
    run.episodes = episodes;
    run.roles["planner"].oracle = run.roles["executor"].oracle = true;
    return run;
  }

  PolicySource Babbler(int64_t context = 64) {
    ModelConfig shape;
    shape.context = context;
    auto source = OpenPolicySource("", shape, environment_->alphabet(), "");
    EXPECT_TRUE(source.ok()) << source.status();
    return *std::move(source);
  }

  std::vector<proto::Episode> Play(const OfflineRun& run) {
    std::vector<proto::Episode> episodes;
    const absl::Status status =
        PlayEpisodes(run, Factory(), [&](proto::Episode e) { episodes.push_back(std::move(e)); });
    EXPECT_TRUE(status.ok()) << status;
    return episodes;
  }

  double Sum(const std::vector<proto::Episode>& episodes, const std::string& measure) {
    double sum = 0;
    for (const proto::Episode& episode : episodes) {
      for (const proto::NamedValue& value : episode.measures()) sum += value.name() == measure ? value.value() : 0;
    }
    return sum;
  }
};

TEST_F(PlayEpisodesTest, ATeamOfOraclesSucceedsAlways) {
  const auto episodes = Play(Run(1000));
  ASSERT_EQ(episodes.size(), 1000u);
  for (const char* measure : {"success", "plan_valid", "plan_right"})
    EXPECT_EQ(Sum(episodes, measure), 1000) << measure;
  EXPECT_EQ(Sum(episodes, "steps_executed"), Sum(episodes, "steps_right"));
  for (size_t i = 0; i < episodes.size(); ++i) {
    ASSERT_EQ(episodes[i].question().empty(), i >= 20);
    if (i < 20) {
      EXPECT_EQ(episodes[i].question(), environment_->MakeTask(proto::HELD_OUT, i)->question);
    }
  }
}

TEST_F(PlayEpisodesTest, AnEngineCanPlayOneRoleAndTheOracleTheOther) {
  OfflineRun run = Run(300);
  const PolicySource babbler = Babbler();
  run.roles["executor"] = {false, &babbler, {1, 7}, BabblingWeights(babbler.shape, 7)};
  const auto episodes = Play(run);
  EXPECT_EQ(Sum(episodes, "plan_right"), 300);
  EXPECT_GT(Sum(episodes, "steps_executed"), 600);
  EXPECT_LT(Sum(episodes, "success"), 100) << "a babbler guesses one in ten";
  OfflineRun again = run;
  again.config.mutable_rollout()->set_max_batch(7);
  EXPECT_EQ(Sum(Play(again), "success"), Sum(episodes, "success"));
}

TEST_F(PlayEpisodesTest, ErrorsNameTheRole) {
  OfflineRun run = Run(10);
  const PolicySource babbler = Babbler(/*context=*/8);
  run.roles["planner"] = {false, &babbler, {1, 7}, BabblingWeights(babbler.shape, 7)};
  const absl::Status too_long = PlayEpisodes(run, Factory(), [](proto::Episode) {});
  EXPECT_THAT(std::string(too_long.message()), HasSubstr("asking the planner"));
}

}  // namespace
}  // namespace tandem
