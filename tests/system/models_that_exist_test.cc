// Runs whose policies start from model folders, as configs/decomposer-qwen.yaml does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "policy/files/model_folder.h"
#include "tests/policy/tiny_qwen.h"
#include "tests/system/one_process.h"
#include "tests/system/tandem_process.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

class ModelsThatExistTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(WriteTinyQwen(Planner(), 1).ok());
    ASSERT_TRUE(WriteTinyQwen(Executor(), 2).ok());
  }

  std::string Planner() const { return scratch_.path() + "/planner"; }
  std::string Executor() const { return scratch_.path() + "/executor"; }
  std::string Run() const { return scratch_.path() + "/run"; }

  // A short run of the shipped configuration, and more of what it sets.
  std::vector<std::string> Train(const std::vector<std::string>& sets) const {
    std::vector<std::string> words = {"train", "configs/decomposer-qwen.yaml", "--run-dir", Run()};
    std::vector<std::string> all = {"policies.planner.init=" + Planner(),
                                    "policies.executor.init=" + Executor(),
                                    "sft.episodes_per_step=8",
                                    "sft.tasks=100",
                                    "train.groups_per_step=2",
                                    "train.group_size=4",
                                    "train.checkpoint_every=2",
                                    "rollout.max_plan_tokens=64",
                                    "evaluation.episodes=20"};
    all.insert(all.end(), sets.begin(), sets.end());
    for (const std::string& set : all) words.insert(words.end(), {"--set", set});
    return words;
  }

  static std::vector<float> WeightsOf(const std::string& path) {
    const auto folder = LoadModelFolder(path);
    EXPECT_TRUE(folder.ok()) << folder.status();
    if (!folder.ok()) return {};
    EXPECT_EQ(folder->shape(), TinyQwenShape());
    std::vector<float> weights(static_cast<size_t>(ParameterCount(folder->shape())));
    EXPECT_TRUE(ReadWeights(*folder, weights).ok());
    return weights;
  }

  const ScratchFolder scratch_;
};

TEST_F(ModelsThatExistTest, TheyLearnPlayReplayAndAreModelsAgain) {
  // A learning rate for a model that knows nothing yet.
  TandemProcess train(Train({"sft.steps=30", "train.steps=4", "policies.planner.sft.learning_rate=3e-3",
                             "policies.executor.sft.learning_rate=3e-3"}));
  ASSERT_EQ(train.Wait(), 0) << train.said();
  for (const std::string policy : {"planner", "executor"}) {
    std::vector<double> losses;
    for (const auto& step : MetricsOf(Run(), "sft")) {
      if (step["policy"] == policy) losses.push_back(step["loss"]);
    }
    ASSERT_EQ(losses.size(), 30u) << policy;
    EXPECT_NEAR(losses.front(), std::log(1152), 0.5) << policy;
    EXPECT_LT(losses.back(), 0.6 * losses.front()) << policy;

    // The checkpoint is a model folder, which a run may start from in turn.
    const std::string checkpoint = CheckpointFolder(Run(), policy, {0, false, 4});
    EXPECT_NE(WeightsOf(checkpoint), WeightsOf(scratch_.path() + "/" + policy));
    for (const char* file : {"tokenizer.json", "tokenizer_config.json", "generation_config.json"}) {
      EXPECT_EQ(*ReadFile(checkpoint + "/" + file), *ReadFile(scratch_.path() + "/" + policy + "/" + file)) << file;
    }
  }
  const std::string planner = CheckpointFolder(Run(), "planner", {0, false, 4});
  TandemProcess generate(
      {"generate", planner, "--chat", "--prompt", "What is the sum of 3 and 4?", "--greedy", "--max-new-tokens", "8"});
  EXPECT_EQ(generate.Wait(), 0) << generate.said();
  EXPECT_THAT(generate.said(), HasSubstr("\"text\":"));
  TandemProcess eval({"eval", Run(), "--episodes", "20"});
  EXPECT_EQ(eval.Wait(), 0) << eval.said();
  TandemProcess replay({"replay", Run()});
  EXPECT_EQ(replay.Wait(), 0) << replay.said();
  EXPECT_THAT(replay.said(), HasSubstr("the same, bit for bit"));
}

// What is trained starts from the folder's weights, and not from others: with nothing learned they are what the
// checkpoints hold, and a resumed run goes on from them.
TEST_F(ModelsThatExistTest, VersionZeroIsTheFolder) {
  const std::vector<std::string> sets = {"sft.steps=0", "policies.planner.optimizer.learning_rate=0",
                                         "policies.executor.optimizer.learning_rate=0"};
  std::vector<std::string> words = Train(sets);
  words.insert(words.end(), {"--set", "train.steps=2"});
  TandemProcess train(words);
  ASSERT_EQ(train.Wait(), 0) << train.said();
  TandemProcess resume({"train", "--resume", Run(), "--set", "train.steps=4"});
  ASSERT_EQ(resume.Wait(), 0) << resume.said();
  EXPECT_EQ(WeightsOf(CheckpointFolder(Run(), "planner", {1, false, 4})), WeightsOf(Planner()));
  EXPECT_EQ(WeightsOf(CheckpointFolder(Run(), "executor", {1, false, 4})), WeightsOf(Executor()));
  // What has learned with one tokenizer goes on with no other; an evaluation has the checkpoint's own.
  const std::string file = Planner() + "/tokenizer.json", tokenizer = *ReadFile(file);
  ASSERT_TRUE(WriteFileAtomically(file, tokenizer + "\n").ok());
  TandemProcess other({"train", "--resume", Run(), "--set", "train.steps=6"});
  EXPECT_EQ(other.Wait(), 2);
  EXPECT_THAT(other.said(), HasSubstr("policies.planner.init: " + file + " has changed since the run began"));
  std::filesystem::remove_all(Planner());
  TandemProcess eval({"eval", Run(), "--episodes", "10"});
  EXPECT_EQ(eval.Wait(), 0) << eval.said();
}

TEST_F(ModelsThatExistTest, NothingIsMadeUpWhereThereIsNoAnswer) {
  std::vector<float> weights = WeightsOf(Planner());
  weights[5] = std::nanf("");
  ASSERT_TRUE(SaveModelFolder(Planner(), TinyQwenShape(), weights, {.source = Planner()}).ok());
  TandemProcess generate({"generate", Planner(), "--prompt", "!"});
  EXPECT_EQ(generate.Wait(), 1);
  EXPECT_THAT(generate.said(), HasSubstr("its log-probabilities are not numbers"));
  // Standard output that cannot be written is an error, even when nothing notices before the end.
  const std::string line = absl::StrCat(TANDEM_BINARY, " config configs/quickstart.yaml >/dev/full 2>/dev/null");
  EXPECT_EQ(WEXITSTATUS(std::system(line.c_str())), 1);
}

TEST_F(ModelsThatExistTest, TasksInGsm8ksForm) {
  const std::string tasks = scratch_.path() + "/tasks.jsonl";
  std::ofstream file(tasks);
  for (int i = 0; i < 30; ++i) {
    file << nlohmann::json{{"question", absl::StrCat("Ann has ", i, " clips and finds 4 more, then half are lost.")},
                           {"answer", absl::StrCat("She had <<", i, "+4=", i + 4, ">>", i + 4, ", now <<", i + 4,
                                                   "*0.5=", (i + 4) * 0.5, ">>.\n#### ", (i + 4) * 0.5)}}
         << "\n";
  }
  file.close();
  TandemProcess train(Train({"sft.steps=3", "train.steps=2", "environment.tasks=" + tasks,
                             "environment.validation_share=0.2", "environment.heldout_share=0.2"}));
  EXPECT_EQ(train.Wait(), 0) << train.said();
}

TEST_F(ModelsThatExistTest, AFolderThatIsDamagedIsBadInputBeforeAnythingStarts) {
  const auto error = [&](const std::string& name, const std::string& bytes) {
    const auto kept = ReadFile(Planner() + "/" + name);
    EXPECT_TRUE(WriteFileAtomically(Planner() + "/" + name, bytes).ok());
    TandemProcess train(Train({}));
    EXPECT_EQ(train.Wait(), 2);
    EXPECT_FALSE(std::filesystem::exists(Run()));
    EXPECT_TRUE(WriteFileAtomically(Planner() + "/" + name, *kept).ok());
    EXPECT_THAT(train.said(), HasSubstr("policies.planner.init: "));
    return train.said();
  };
  const std::string weights = *ReadFile(Planner() + "/model.safetensors");
  EXPECT_THAT(error("model.safetensors", weights.substr(0, weights.size() / 2)), HasSubstr("model.safetensors"));
  EXPECT_THAT(error("config.json", R"({"model_type": "mamba"})"), HasSubstr("config.json: model_type is \"mamba\""));
  EXPECT_THAT(error("tokenizer.json", "{"), HasSubstr("tokenizer.json"));
  EXPECT_THAT(error("tokenizer_config.json", R"({"eos_token": "<|im_end|>", "chat_template": "{{ 1 }}"})"),
              HasSubstr("an unknown chat template"));
}

}  // namespace
}  // namespace tandem
