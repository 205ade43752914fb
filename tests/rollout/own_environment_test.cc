// An environment of one's own, as the README shows it.
#include <gtest/gtest.h>

// [README: begin]
#include "rollout/env/environment.h"
#include "rollout/env/split.h"

namespace tandem {

// What comes N letters after these two put together? "c+e=" is "h", counted from a = 0 and around the alphabet.
class LetterSum final : public Environment {
 public:
  LetterSum(const proto::EnvironmentConfig& config, uint64_t seed) : config_(config), seed_(seed) {}

  std::string alphabet() const override { return "abcdefghijklmnopqrstuvwxyz+=;ABCDEFGH"; }

  // "c+e+b=", planned as "A=c+e;B=A+b".
  absl::StatusOr<Task> MakeTask(proto::Split split, uint64_t index) const override {
    return DrawTask(config_, seed_, split, index, [](RandomStream& random) {
      std::string x;
      for (int i = 0; i < 3; ++i) x += static_cast<char>('a' + random.Below(26));
      const std::string answer = Add(Add(x[0], x[1])[0], x[2]);
      return Task{
          0, {x[0], '+', x[1], '+', x[2], '='}, answer, std::string{'A', '=', x[0], '+', x[1], ';'} + "B=A+" + x[2]};
    });
  }
  bool StepIsWellFormed(std::string_view step) const override {
    return step.size() == 3 && isalpha(step[0]) && step[1] == '+' && isalpha(step[2]);
  }
  std::string ExecutorPrompt(std::string_view filled_step) const override { return std::string(filled_step) + "="; }
  double Reward(const Task& task, std::string_view answer) const override { return answer == task.answer ? 1 : 0; }

  std::string ScriptedPlan(const Task& task, RandomStream* corrupt) const override {
    return corrupt ? task.plan->substr(0, 5 + corrupt->Below(4)) : *task.plan;
  }
  std::string ScriptedStep(std::string_view s, RandomStream* corrupt) const override {
    return corrupt ? std::string(1, static_cast<char>('a' + corrupt->Below(26))) : Add(s[0], s[2]);
  }

 private:
  static std::string Add(char x, char y) { return std::string(1, static_cast<char>('a' + (x - 'a' + y - 'a') % 26)); }
  const proto::EnvironmentConfig config_;
  const uint64_t seed_;
};

// `environment: {name: letter-sum}` from then on; call it before the configuration is used.
void RegisterLetterSum() {
  RegisterEnvironment("letter-sum",
                      [](const proto::EnvironmentConfig& config, uint64_t seed,
                         const std::string&) -> absl::StatusOr<std::unique_ptr<Environment>> {
                        return std::make_unique<LetterSum>(config, seed);
                      });
}

}  // namespace tandem
// [README: end]

#include <algorithm>

#include "rollout/offline.h"

namespace tandem {
namespace {

TEST(OwnEnvironmentTest, IsPlayedByNameAndSolvedByItsOracles) {
  RegisterLetterSum();
  const auto names = EnvironmentNames();
  EXPECT_NE(std::find(names.begin(), names.end(), "letter-sum"), names.end());
  OfflineRun run;
  run.config.mutable_environment()->set_name("letter-sum");
  const auto environment = MakeEnvironment(run.config.environment(), 5, "");
  ASSERT_TRUE(environment.ok()) << environment.status();
  run.environment = environment->get();
  run.roles["planner"].oracle = run.roles["executor"].oracle = true;
  run.episodes = 200;
  double reward = 0;
  const absl::Status status =
      PlayEpisodes(run, nullptr, [&](proto::Episode episode) { reward += episode.rewards(0).value(); });
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(reward, 200);
}

TEST(OwnEnvironmentTest, ItsCorruptScriptsAreNotAlwaysRight) {
  RegisterLetterSum();
  proto::EnvironmentConfig config;
  config.set_name("letter-sum");
  const auto environment = *MakeEnvironment(config, 5, "");
  const Task task = *environment->MakeTask(proto::TRAINING, 0);
  RandomStream random(1);
  EXPECT_NE(environment->ScriptedPlan(task, &random), *task.plan);
}

}  // namespace
}  // namespace tandem
