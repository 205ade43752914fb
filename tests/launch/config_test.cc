#include "launch/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "launch/config_check.h"
#include "launch/config_writer.h"
#include "launch/schema.h"
#include "tests/launch/temporary_folder.h"

namespace tandem {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const KnownNames kKnown = {.environments = {"dag-calc"}, .losses = {"decoupled_ppo", "grpo"}};

class ConfigTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& text) {
    const std::string file = folder_.path() + "/x.yaml";
    EXPECT_TRUE(WriteFileAtomically(file, text).ok());
    return file;
  }

  // Reads and checks; the message of the error with the folder cut away, or "" when all is well.
  std::string ErrorOf(const std::string& text, std::vector<std::string> sets = {},
                      std::optional<std::string> seed = std::nullopt) {
    absl::StatusOr<LoadedConfig> loaded = LoadConfig({.file = Write(text), .sets = sets, .seed = seed});
    absl::Status status = loaded.status();
    if (status.ok()) status = CheckConfig(*loaded, kKnown);
    std::string message(status.message());
    for (size_t at; (at = message.find(folder_.path() + "/")) != std::string::npos;) {
      message.erase(at, folder_.path().size() + 1);
    }
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    return message;
  }

  TemporaryFolder folder_;
};

const char kBase[] = "policies:\n  planner:\n  executor:\n";

TEST_F(ConfigTest, TheShortestConfigurationIsTwoPoliciesWithDefaults) {
  const auto loaded = LoadConfig({.file = Write(kBase), .sets = {}, .seed = std::nullopt});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->config.policies().at("planner").model().hidden(), 64u);
  EXPECT_EQ(loaded->config.roles().at("executor").policy(), "executor");
  EXPECT_EQ(PolicyNames(loaded->config), (std::vector<std::string>{"planner", "executor"}));
  EXPECT_TRUE(CheckConfig(*loaded, kKnown).ok());
}

TEST_F(ConfigTest, AMisspeltKeyIsNamedWithLineAndTheNearestKey) {
  EXPECT_EQ(ErrorOf("policies:\n  planner:\n    staleness:\n      bund: 3\n  executor:\n"),
            "x.yaml:4: policies.planner.staleness.bund: unknown key; did you mean bound?");
  EXPECT_EQ(ErrorOf(std::string(kBase) + "trian:\n  steps: 3\n"), "x.yaml:4: trian: unknown key; did you mean train?");
}

TEST_F(ConfigTest, AKeyInTheWrongSectionIsToldWhereItBelongs) {
  EXPECT_EQ(ErrorOf("policies:\n  planner:\n    bound: 3\n"),
            "x.yaml:3: policies.planner.bound: unknown key; did you mean staleness.bound?");
}

TEST_F(ConfigTest, ARangeIsKeptAndItsEndsAreAllowed) {
  const auto ranks = [](const std::string& n) { return "policies:\n  planner:\n    ranks: " + n + "\n  executor:\n"; };
  EXPECT_EQ(ErrorOf(ranks("65") + "train:\n  groups_per_step: 64\n"),
            "x.yaml:3: policies.planner.ranks: expected a whole number from 1 to 64, found 65");
  EXPECT_EQ(ErrorOf(ranks("0")), "x.yaml:3: policies.planner.ranks: expected a whole number from 1 to 64, found 0");
  EXPECT_EQ(ErrorOf(ranks("64") + "train:\n  groups_per_step: 64\n"), "");
  EXPECT_EQ(ErrorOf(std::string(kBase) + "seed: 4294967296\n"),
            "x.yaml:4: seed: expected a whole number of at least 0, found 4294967296");
  EXPECT_EQ(ErrorOf(std::string(kBase) + "rollout:\n  temperature: 0\n"),
            "x.yaml:5: rollout.temperature: expected a number from 0.01 to 10, found 0");
}

TEST_F(ConfigTest, AValueOfTheWrongTypeSaysWhatWasExpected) {
  for (const auto& [value, found] : std::vector<std::pair<std::string, std::string>>{{"four", "four"},
                                                                                     {"\"4\"", "the text \"4\""},
                                                                                     {"4.5", "4.5"},
                                                                                     {"-1", "-1"},
                                                                                     {"[4]", "a list"},
                                                                                     {"", "nothing"},
                                                                                     {"{a: 1}", "a section of keys"},
                                                                                     {"4 steps", "4 steps"}}) {
    EXPECT_EQ(ErrorOf(std::string(kBase) + "train:\n  steps: " + value + "\n"),
              "x.yaml:5: train.steps: expected a whole number of at least 0, found " + found);
  }
  EXPECT_EQ(ErrorOf("policies: 3\n"), "x.yaml:1: policies: expected a section with one entry for each name, found 3");
  EXPECT_EQ(ErrorOf("policies:\n  planner: big\n"),
            "x.yaml:2: policies.planner: expected a section of keys, found big");
  EXPECT_EQ(ErrorOf("policies:\n  planner:\n    model:\n      tied_head: yes\n"),
            "x.yaml:4: policies.planner.model.tied_head: expected true or false, found yes");
  EXPECT_EQ(ErrorOf("policies:\n  planner:\n    optimizer:\n      learning_rate: .nan\n"),
            "x.yaml:4: policies.planner.optimizer.learning_rate: expected a number from 0 to 1, found .nan");
  EXPECT_EQ(ErrorOf("just words\n"), "x.yaml: expected a section of keys, found just words");
}

TEST_F(ConfigTest, AnEnumTakesLowerCaseNamesOnly) {
  const auto limit = [](const std::string& v) {
    return "policies:\n  planner:\n    staleness: {on_limit: " + v + "}\n  executor:\n";
  };
  EXPECT_EQ(ErrorOf(limit("drop")), "");
  EXPECT_EQ(ErrorOf(limit("dorp")),
            "x.yaml:3: policies.planner.staleness.on_limit: expected one of pace, drop, mask, rerun, accept, found "
            "dorp; did you mean drop?");
  EXPECT_THAT(ErrorOf(limit("PACE")), HasSubstr("expected one of pace, drop, mask, rerun, accept, found PACE"));
}

TEST_F(ConfigTest, AKeyGivenTwiceIsAnError) {
  EXPECT_EQ(ErrorOf("seed: 1\nseed: 2\n"), "x.yaml:2: seed: given twice");
  EXPECT_EQ(ErrorOf("policies:\n  planner:\n  planner:\n"), "x.yaml:3: policies.planner: given twice");
}

TEST_F(ConfigTest, ABoundOnDriftNeedsAPartnerAndNoLag) {
  const std::string bound = "policies.planner.staleness.drift_bound=2";
  EXPECT_EQ(ErrorOf(kBase, {bound}), "");
  EXPECT_THAT(ErrorOf(kBase, {bound, "lag.planner.constant=1"}), HasSubstr("staleness.drift_bound: lag says which"));
}

TEST_F(ConfigTest, AVirtualClockNeedsKnownPoliciesOfOneRank) {
  EXPECT_EQ(ErrorOf(kBase, {"clock=virtual", "durations.trainers.planner.step_s=2"}), "");
  EXPECT_EQ(ErrorOf(std::string(kBase) + "clock: virtual\ndurations:\n  trainers:\n    plannr: {}\n"),
            "x.yaml:7: durations.trainers.plannr: there is no policy plannr; did you mean planner?");
  EXPECT_THAT(ErrorOf(kBase, {"clock=virtual", "policies.planner.ranks=2"}), HasSubstr("policies.planner.ranks: "));
  EXPECT_THAT(ErrorOf(kBase, {"durations.decode_step_s=2"}), HasSubstr("it needs clock: virtual"));
}

TEST_F(ConfigTest, AKeyWithoutEffectIsAnError) {
  const std::string text = "policies:\n  planner:\n    loss:\n      name: grpo\n      importance_cap: 5\n  executor:\n";
  EXPECT_EQ(ErrorOf(text),
            "x.yaml:5: policies.planner.loss.importance_cap: has no effect here: it needs name: decoupled_ppo");
  EXPECT_EQ(ErrorOf(text, {"policies.planner.loss.name=decoupled_ppo"}), "");
}

TEST_F(ConfigTest, BrokenYamlIsAnErrorWithItsLine) {
  EXPECT_THAT(ErrorOf("seed: 1\npolicies: [\n"), AllOf(StartsWith("x.yaml:"), HasSubstr("this is no YAML")));
  EXPECT_THAT(ErrorOf(std::string(kBase) + "---\nseed: 2\n"), HasSubstr("has 2 documents (a line ---), expected one"));
  EXPECT_THAT(ErrorOf("seed: 1\n\tpolicies: 3\n"), StartsWith("x.yaml:2: this is no YAML"));
  EXPECT_THAT(ErrorOf(std::string("seed: 1\0", 8)), HasSubstr("zero byte"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("at least one policy"));
}

TEST_F(ConfigTest, SetOverridesTheFileAndErrorsNameTheFlag) {
  const auto loaded = LoadConfig({.file = Write(kBase),
                                  .sets = {"policies.planner.staleness.bound=7", "train.steps=3", "name=other",
                                           "policies.executor.model={hidden: 32, layers: 1}"},
                                  .seed = "9"});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->config.policies().at("planner").staleness().bound(), 7u);
  EXPECT_EQ(loaded->config.policies().at("executor").model().hidden(), 32u);
  EXPECT_EQ(loaded->config.train().steps(), 3u);
  EXPECT_EQ(loaded->config.seed(), 9u);

  EXPECT_EQ(ErrorOf(kBase, {"policies.planner.staleness.bund=7"}),
            "--set policies.planner.staleness.bund: policies.planner.staleness.bund: unknown key; did you mean bound?");
  EXPECT_EQ(ErrorOf(kBase, {"policies.planner.ranks=65"}),
            "--set policies.planner.ranks: expected a whole number from 1 to 64, found 65");
  EXPECT_EQ(ErrorOf(kBase, {"policies.planer.ranks=1"}),
            "--set policies.planer.ranks: there is no policies.planer; did you mean planner?");
  EXPECT_EQ(ErrorOf(kBase, {"seed.x=1"}), "--set seed.x: seed has no keys below it");
  EXPECT_EQ(ErrorOf(kBase, {"train.steps"}), "--set train.steps: expected key=value, as in --set train.steps=10");
  EXPECT_EQ(ErrorOf(kBase, {}, "many"), "--seed: expected a whole number of at least 0, found many");
  EXPECT_EQ(ErrorOf(kBase, {}, "-1"), "--seed: expected a whole number of at least 0, found -1");
  EXPECT_EQ(ErrorOf(kBase, {"policies.planner.model.heads=5"}),
            "--set policies.planner.model.heads: 5 does not divide hidden: 64");
}

TEST_F(ConfigTest, KeysThatDoNotGoTogetherNameTheKeyToChange) {
  const auto with = [&](const std::string& set) { return ErrorOf(kBase, {set}); };
  EXPECT_EQ(ErrorOf("policies:\n  planner:\n    model:\n      heads: 3\n  executor:\n"),
            "x.yaml:4: policies.planner.model.heads: 3 does not divide hidden: 64");
  EXPECT_EQ(with("policies.planner.model.kv_heads=3"),
            "--set policies.planner.model.kv_heads: 3 does not divide heads: 4");
  EXPECT_THAT(with("environment.max_operations=1"), HasSubstr("1 is below min_operations: 2"));
  EXPECT_THAT(with("environment.name=dag-clac"), HasSubstr("there is no environment dag-clac; did you mean dag-calc?"));
  EXPECT_THAT(with("policies.planner.loss.name=grop"), HasSubstr("there is no loss grop; did you mean grpo?"));
  EXPECT_THAT(with("environment.max_nodes=2"), HasSubstr("2 is below max_operations: 3"));
  EXPECT_THAT(with("environment={validation_share: 0.5, heldout_share: 0.5}"), HasSubstr("leaves nothing to train on"));
  EXPECT_THAT(with("environment.heldout_share=0"), HasSubstr("evaluation.episodes asks for held-out questions"));
  EXPECT_THAT(with("environment.tasks=none.jsonl"), HasSubstr("none.jsonl: no such file"));
  EXPECT_THAT(with("roles.planner.policy=planer"), HasSubstr("there is no policy planer; did you mean planner?"));
  EXPECT_THAT(with("roles.planner.policy=executor"), HasSubstr("policies.planner: plays no role"));
  EXPECT_THAT(with("name=../x"), HasSubstr("--set name: names a folder"));
  EXPECT_THAT(with("transport.endpoint=tcp://localhost"), HasSubstr("expected auto, ipc://PATH or tcp://HOST:PORT"));
  EXPECT_THAT(with("transport.endpoint=tcp://localhost:65535"), HasSubstr("a port from 1 to 65534"));
  EXPECT_EQ(with("transport.endpoint=tcp://127.0.0.1:5555"), "");
  EXPECT_THAT(ErrorOf("policies:\n  team:\n"), HasSubstr("no policy is named planner"));
  EXPECT_EQ(ErrorOf("policies:\n  team:\nroles:\n  planner: {policy: team}\n  executor: {policy: team}\n"), "");
  EXPECT_EQ(ErrorOf("policies:\n  planner:\n  executor:\nroles:\n  exectuor: {policy: planner}\n"),
            "x.yaml:5: roles.exectuor: no such role; did you mean executor?");
  EXPECT_THAT(ErrorOf("policies:\n  a b:\n"), HasSubstr("a name is a letter, then letters"));
}

TEST_F(ConfigTest, AContextThatIsTooSmallForATurnIsAnError) {
  const auto loaded = LoadConfig({.file = Write(kBase), .sets = {}, .seed = std::nullopt});
  ASSERT_TRUE(loaded.ok());
  // Planner: 24 + 40 (max_plan_tokens) = 64 (context) fits, 25 does not. Executor: 60 + 4 = 64 fits.
  EXPECT_TRUE(CheckContexts(*loaded, {24, 64}, {60, 64}).ok());
  EXPECT_THAT(CheckContexts(*loaded, {25, 64}, {4, 64}).message(),
              HasSubstr("policies.planner.model.context: 64 is too small"));
  EXPECT_THAT(CheckContexts(*loaded, {24, 64}, {61, 64}).message(),
              HasSubstr("policies.executor.model.context: 64 is too small"));
}

TEST_F(ConfigTest, AFileThatIsNotThereIsAnErrorWithWhatIsNearIt) {
  Write(kBase);
  EXPECT_THAT(LoadConfig({.file = folder_.path() + "/y.yaml", .sets = {}, .seed = std::nullopt}).status().message(),
              HasSubstr("y.yaml: no such file; did you mean x.yaml?"));
  EXPECT_THAT(LoadConfig({.file = folder_.path(), .sets = {}, .seed = std::nullopt}).status().message(),
              HasSubstr("this is a folder"));
}

TEST_F(ConfigTest, TheResolvedConfigurationReadsBackToTheSame) {
  const auto first = LoadConfig(
      {.file = Write(std::string(kBase) + "name: \"12\"\n"),
       .sets = {"policies.planner.optimizer.learning_rate=0.00012345678901234567", "policies.planner.loss.name=grpo",
                "policies.executor.device=cpu", "environment.operators=\"+\"", "environment.tasks='a \"b\"\\c'"},
       .seed = "4294967295"});
  ASSERT_TRUE(first.ok()) << first.status();
  for (const bool documented : {false, true}) {
    const std::string text = WriteYaml(first->config, {.documented = documented});
    const auto second = LoadConfig({.file = Write(text), .sets = {}, .seed = std::nullopt});
    ASSERT_TRUE(second.ok()) << second.status() << "\n" << text;
    EXPECT_EQ(WriteYaml(second->config), WriteYaml(first->config));
    EXPECT_EQ(second->config.policies().at("planner").optimizer().learning_rate(), 0.00012345678901234567);
    EXPECT_THAT(second->config.environment().tasks(), EndsWith("/a \"b\"\\c"));
  }
}

TEST_F(ConfigTest, EveryKeyIsDocumentedAndSoItIsPrinted) {
  // Or the keys below them are not there.
  const std::vector<std::string> sets = {"lag.planner.heavy_tail={}", "environment.tool={}", "roles.executor.remote={}",
                                         "clock=virtual", "durations.trainers.planner={}"};
  const auto loaded = LoadConfig({.file = Write(kBase), .sets = sets, .seed = std::nullopt});
  ASSERT_TRUE(loaded.ok());
  const std::string text = WriteYaml(loaded->config, {.documented = true});
  // The documentation may be broken over lines: compare without the breaks.
  std::string flat;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\n') {
      flat += text[i];
      continue;
    }
    size_t next = text.find_first_not_of(' ', i + 1);
    if (next != std::string::npos && text[next] == '#') i = next;
  }
  std::vector<const google::protobuf::Descriptor*> types = {proto::Config::descriptor()};
  int keys = 0;
  for (size_t t = 0; t < types.size(); ++t) {
    for (int i = 0; i < types[t]->field_count(); ++i) {
      const FieldDescriptor* field = types[t]->field(i);
      if (IsSection(field)) {
        types.push_back(field->is_map() ? field->message_type()->map_value()->message_type() : field->message_type());
      }
      EXPECT_FALSE(KeyOf(field).doc().empty()) << field->full_name();
      EXPECT_THAT(flat, HasSubstr(KeyOf(field).doc())) << field->full_name();
      ++keys;
    }
  }
  EXPECT_GT(keys, 60);
}

TEST_F(ConfigTest, AListHasItsLength) {
  const auto with = [](const std::string& lag) { return std::string(kBase) + "lag:\n  planner: {" + lag + "}\n"; };
  EXPECT_EQ(ErrorOf(with("uniform: [0, 4]")), "");
  EXPECT_THAT(ErrorOf(with("uniform: [0]")),
              HasSubstr("lag.planner.uniform: expected a list of 2 whole numbers, found 1"));
  EXPECT_THAT(ErrorOf(with("uniform: 4")), HasSubstr("expected a list of 2 whole numbers, found 4"));
  EXPECT_THAT(ErrorOf(with("uniform: [0, x]")), HasSubstr("expected a list of 2 whole numbers, found x"));
  EXPECT_THAT(ErrorOf(with("uniform: [0, -1]")), HasSubstr("expected a list of 2 whole numbers, found -1"));
  const auto loaded = LoadConfig({.file = Write(with("uniform: [0, 4]")), .sets = {}, .seed = std::nullopt});
  ASSERT_TRUE(loaded.ok());
  EXPECT_THAT(WriteYaml(loaded->config), HasSubstr("uniform: [0, 4]"));
  EXPECT_THAT(WriteYaml(loaded->config), Not(HasSubstr("heavy_tail")));  // nothing that was not given
}

TEST_F(ConfigTest, DefaultsAreWithinTheirRanges) {
  // Written out in full and read back, every default passes its own check.
  const auto loaded = LoadConfig({.file = Write(kBase), .sets = {}, .seed = std::nullopt});
  ASSERT_TRUE(loaded.ok());
  EXPECT_EQ(ErrorOf(WriteYaml(loaded->config)), "");
}

TEST_F(ConfigTest, TheDigestLeavesOutWhatIsAMatterOfOneMachine) {
  const auto digest = [&](const std::string& set) {
    const auto loaded = LoadConfig({.file = Write(kBase), .sets = {set}, .seed = std::nullopt});
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    return ConfigDigest(loaded->config);
  };
  const std::string same = digest("seed=0");
  EXPECT_EQ(digest("policies.planner.device=cuda"), same);
  EXPECT_EQ(digest("transport.endpoint=tcp://h:1"), same);
  EXPECT_EQ(digest("rollout.workers=3"), same);
  EXPECT_NE(digest("seed=1"), same);
  EXPECT_NE(digest("policies.planner.staleness.bound=5"), same);
}

}  // namespace
}  // namespace tandem
