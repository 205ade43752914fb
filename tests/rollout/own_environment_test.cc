// An environment of one's own, as the README shows it.
#include <gtest/gtest.h>

// [README: begin]
#include "rollout/env/environment.h"
#include "rollout/env/split.h"

namespace tandem {

// Sums of letters, a = 0, around the alphabet: "c+e+b=" is "h", planned as "A=c+e;B=A+b".
class LetterSum final : public Environment {
 public:
  LetterSum(const proto::EnvironmentConfig& config, uint64_t seed) : config_(config), seed_(seed) {}

  std::string alphabet() const override { return "abcdefghijklmnopqrstuvwxyz+=;ABCDEFGH"; }
  absl::StatusOr<Task> MakeTask(proto::Split split, uint64_t index) const override {
    return DrawTask(config_, seed_, split, index, [](RandomStream& random) {
      auto letter = [&] { return static_cast<char>('a' + random.Below(26)); };
      const char x = letter(), y = letter(), z = letter();
      const std::string plan = {'A', '=', x, '+', y, ';', 'B', '=', 'A', '+', z};
      return Task{0, {x, '+', y, '+', z, '='}, Add(Add(x, y)[0], z), plan};
    });
  }
  bool StepIsWellFormed(std::string_view step) const override {
    return step.size() == 3 && isalpha(step[0]) && step[1] == '+' && isalpha(step[2]);
  }
  std::string ExecutorPrompt(std::string_view step) const override { return std::string(step) + "="; }
  double Reward(const Task& task, std::string_view answer) const override { return answer == task.answer; }
  std::string ScriptedPlan(const Task& task, RandomStream* corrupt) const override {
    return corrupt ? task.plan->substr(0, 5 + corrupt->Below(4)) : *task.plan;  // corrupt: cut short
  }
  std::string ScriptedStep(std::string_view s, RandomStream* corrupt) const override {
    return corrupt ? std::string(1, static_cast<char>('a' + corrupt->Below(26))) : Add(s[0], s[2]);
  }

 private:
  static std::string Add(char x, char y) { return {static_cast<char>('a' + (x + y - 2 * 'a') % 26)}; }
  const proto::EnvironmentConfig config_;
  const uint64_t seed_;
};

// Called at the start of main; from then on `environment: {name: letter-sum}` is known.
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
  for (const char* policy : {"planner", "executor"}) (*run.config.mutable_policies())[policy];
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
