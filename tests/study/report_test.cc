#include "study/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <string>

#include "base/file.h"
#include "study/json.h"
#include "tests/study/synthetic_run.h"

namespace tandem {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string Folder(const std::string& name) { return testing::TempDir() + "report_test_" + name; }

std::string FreshFolder(const std::string& name) {
  std::filesystem::remove_all(Folder(name));
  std::filesystem::create_directories(Folder(name));
  return Folder(name);
}

void Append(const std::string& path, std::string_view text) { std::ofstream(path, std::ios::app) << text; }

// Writes the report and returns the page.
std::string Page(const std::string& folder) {
  const absl::Status status = WriteReport(folder);
  EXPECT_TRUE(status.ok()) << status;
  const absl::StatusOr<std::string> page = ReadFile(folder + "/report.html");
  EXPECT_TRUE(page.ok()) << page.status();
  return page.value_or("");
}

// The JSON as a browser would find it: from the script's opening tag to the first thing that closes a script.
Json DataOf(const std::string& page) {
  static constexpr std::string_view kOpen = "<script type=\"application/json\" id=\"data\">";
  const size_t begin = page.find(kOpen);
  EXPECT_NE(begin, std::string::npos);
  if (begin == std::string::npos) return {};
  const size_t start = begin + kOpen.size();
  Json data = Json::parse(page.substr(start, page.find("</", start) - start), nullptr, /*allow_exceptions=*/false);
  EXPECT_TRUE(data.is_object());
  return data;
}

Json Report(const SyntheticRun& run, const std::string& name) {
  WriteSyntheticRun(run, Folder(name));
  return DataOf(Page(Folder(name)));
}

TEST(ReportTest, HoldsWhatTheRunRecorded) {
  const Json data = Report({}, "whole");
  EXPECT_EQ(data["run"], "report_test_whole");
  ASSERT_EQ(data["policies"].size(), 2u);
  EXPECT_EQ(data["policies"][0]["name"], "planner");  // first, though "executor" sorts before it
  const Json& planner = data["policies"][0];
  EXPECT_EQ(planner["last_step"], 80);
  EXPECT_EQ(planner["steps"]["step"].size(), 80u);
  EXPECT_EQ(planner["steps"]["reward_mean"].size(), 80u);
  EXPECT_EQ(planner["sft"]["loss"].size(), 400u);
  EXPECT_EQ(planner["episodes"], 80 * 512);
  EXPECT_EQ(planner["bound"], 4);
  EXPECT_EQ(planner["ledger"]["trained"], 80 * 512);
  EXPECT_EQ(data["evaluations"].size(), 2u);
  EXPECT_EQ(data["overlap"]["share"], 0.63);
  EXPECT_EQ(data["episodes"].size(), 10u);
  EXPECT_EQ(data["unreadable_total"], 0);
  EXPECT_THAT(data["config"].get<std::string>(), HasSubstr("bound: 4"));
  EXPECT_EQ(data["activity"]["waits"].size(), 4u);  // two trainers, two workers
}

TEST(ReportTest, CountsTokensByStalenessOverTheWholeRun) {
  const std::string folder = FreshFolder("histogram");
  Append(folder + "/metrics.jsonl",
         R"({"kind":"step","time_s":1,"policy":"p","step":1,"staleness_bound":2,"staleness_histogram":[10]}
{"kind":"step","time_s":2,"policy":"p","step":2,"staleness_bound":2,"staleness_histogram":[3,4,5]}
)");
  EXPECT_EQ(DataOf(Page(folder))["policies"][0]["histogram"], Json({13, 4, 5}));
}

TEST(ReportTest, TheReinforcementPartBeginsAfterTheWarmStartsEvaluation) {
  const std::string folder = FreshFolder("stages");
  // The first step waits from 10 s on, also while the evaluation goes on until 14 s; the second waits for 1 s of 2.
  Append(folder + "/metrics.jsonl", R"({"kind":"sft","time_s":10,"policy":"p","step":1,"step_s":10}
{"kind":"eval","time_s":14,"stage":"after_sft"}
{"kind":"step","time_s":16,"policy":"p","step":1,"step_s":6,"wait_share":1}
{"kind":"step","time_s":18,"policy":"p","step":2,"step_s":2,"wait_share":0.5}
)");
  const Json data = DataOf(Page(folder));
  EXPECT_EQ(data["stages"], Json({{"sft", {0, 10}}, {"train", {14, 18}}}));
  EXPECT_EQ(data["activity"]["waits"][0]["mean"], 0.75);  // (2 s of 1 + 2 s of 0.5) / 4 s
}

TEST(ReportTest, LoadsNothingFromAnywhere) {
  WriteSyntheticRun({}, Folder("self"));
  const std::string page = Page(Folder("self"));
  EXPECT_THAT(page, HasSubstr("Content-Security-Policy\" content=\"default-src 'none'"));
  EXPECT_FALSE(std::regex_search(page, std::regex(R"((src|href|action)\s*=\s*["']?\s*(https?:)?//)")));
  EXPECT_FALSE(std::regex_search(page, std::regex(R"(<(link|img|iframe|object|embed|base)[\s>])")));
  EXPECT_FALSE(std::regex_search(page, std::regex(R"(@import|url\(|XMLHttpRequest|fetch\(|import\()")));
  // Chart.js is inside, with its licence.
  EXPECT_THAT(page, AllOf(HasSubstr("Chart.js v3.9"), HasSubstr("Released under the MIT License")));
  EXPECT_THAT(page, Not(HasSubstr("{{")));
  EXPECT_THAT(page, EndsWith("</html>\n"));
}

TEST(ReportTest, HostileTextStaysText) {
  const std::string hostile = "</script><img src=x onerror=alert(1)><!--<script>{{page_js}}\xff\xe2\x80\xa8";
  const std::string folder = FreshFolder("<b>&\"hostile{{css}}");
  const std::string escaped = Json(hostile).dump(-1, ' ', false, Json::error_handler_t::replace);
  Append(folder + "/metrics.jsonl", R"({"kind":"step","time_s":1,"step":1,"policy":)" + escaped + "}\n");
  Append(folder + "/episodes.jsonl",
         R"({"ticket":1,"purpose":"train","time_s":1,"episode":{"turns":[{"role":"planner"}],"question":)" + escaped +
             "}}\n");
  Append(folder + "/config.yaml", hostile);
  const std::string page = Page(folder);
  const Json data = DataOf(page);
  const std::string kept = Json::parse(escaped);
  EXPECT_EQ(data["policies"][0]["name"], kept);
  EXPECT_EQ(data["episodes"][0]["episode"]["question"], kept);
  EXPECT_EQ(data["config"], kept);
  EXPECT_EQ(data["run"], "report_test_<b>&\"hostile{{css}}");
  EXPECT_THAT(page, Not(HasSubstr("<img")));
  EXPECT_THAT(page, HasSubstr("<title>report_test_&lt;b&gt;&amp;&quot;hostile{{css}} · Tandem</title>"));
  // No more scripts open or close than in any other report.
  WriteSyntheticRun({}, Folder("plain"));
  const auto count = [](const std::string& text, const std::string& what) {
    size_t n = 0;
    for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
    return n;
  };
  const std::string plain = Page(Folder("plain"));
  for (const char* tag : {"<script", "</script", "<!--"}) EXPECT_EQ(count(page, tag), count(plain, tag)) << tag;
}

TEST(ReportTest, ALastLineThatIsCutOffIsLeftOut) {
  WriteSyntheticRun({.steps = 5}, Folder("cut"));
  Append(Folder("cut") + "/metrics.jsonl", R"({"kind":"step","time_s":99,"policy":"planner","st)");
  const Json data = DataOf(Page(Folder("cut")));
  EXPECT_EQ(data["policies"][0]["last_step"], 5);
  EXPECT_EQ(data["unreadable_total"], 0);
}

TEST(ReportTest, LinesThatCannotBeReadAreNamed) {
  const std::string folder = FreshFolder("unreadable");
  Append(folder + "/metrics.jsonl", "{\"kind\":\"step\",\"time_s\":1,\"policy\":\"p\",\"step\":1}\nnonsense\n[1]\n\n");
  Append(folder + "/metrics.jsonl", "{\"kind\":\"step\",\"time_s\":2,\"policy\":\"p\",\"step\":2}\n");
  const Json data = DataOf(Page(folder));
  EXPECT_EQ(data["policies"][0]["last_step"], 2);
  EXPECT_EQ(data["unreadable"], Json({"metrics.jsonl:2", "metrics.jsonl:3"}));
}

TEST(ReportTest, UnknownKindsAndFieldsOfOtherTypesDoNoHarm) {
  const std::string folder = FreshFolder("unknown");
  Append(folder + "/metrics.jsonl", R"({"kind":"weather","time_s":1}
{"time_s":"later"}
{"kind":"step","time_s":1,"policy":"p","step":1,"loss":"NaN","kl":{},"staleness_histogram":7}
{"kind":"rollout","time_s":2,"worker":[],"interval_s":1,"faults":3}
{"kind":"eval","stage":"final"}
)");
  Append(folder + "/episodes.jsonl", "{\"episode\":3}\n{\"purpose\":\"train\",\"episode\":{\"turns\":[1,null]}}\n");
  const Json data = DataOf(Page(folder));
  EXPECT_TRUE(data["policies"][0]["steps"]["loss"][0].is_null());
  EXPECT_TRUE(data["policies"][0]["steps"]["kl"][0].is_null());
  EXPECT_TRUE(data["episodes"].empty());
}

TEST(ReportTest, AnInterruptedRunHasAReport) {
  const Json data = Report({.sft_steps = 0, .steps = 7, .finished = false, .episodes = false}, "interrupted");
  EXPECT_TRUE(data["overlap"].is_null());
  EXPECT_TRUE(data["stages"]["sft"].is_null());
  EXPECT_TRUE(data["evaluations"].empty());
  EXPECT_TRUE(data["episodes"].empty());
  std::filesystem::remove(Folder("interrupted") + "/config.yaml");
  EXPECT_EQ(DataOf(Page(Folder("interrupted")))["config"], "");
  EXPECT_EQ(DataOf(Page([] {
              const std::string folder = FreshFolder("nothing");
              Append(folder + "/metrics.jsonl", "");
              return folder;
            }()))["policies"],
            Json::array());
}

TEST(ReportTest, ALongRunMakesNoLongPage) {
  const Json data = Report({.sft_steps = 0, .steps = 2000, .workers = 12, .episodes = false}, "long");
  const Json& planner = data["policies"][0];
  EXPECT_EQ(planner["steps"]["per_point"], 4);
  EXPECT_EQ(planner["steps"]["step"].size(), 500u);
  EXPECT_EQ(planner["steps"]["step"].back(), 2000);
  EXPECT_EQ(planner["episodes"], 2000 * 512);  // sums are over all steps
  EXPECT_LE(data["activity"]["bins"], 141);
  EXPECT_EQ(data["activity"]["waits"].size(), 3u);
  EXPECT_EQ(data["activity"]["waits"][2]["name"], "12 workers");
  EXPECT_LT(std::filesystem::file_size(Folder("long") + "/report.html"), 600'000u);
}

TEST(ReportTest, OfStepsTakenAgainTheLaterAttemptCounts) {
  const std::string folder = FreshFolder("resumed");
  for (const auto& [step, reward] : {std::pair(1, 0.1), {2, 0.2}, {3, 0.3}, {2, 0.25}, {3, 0.35}, {4, 0.4}}) {
    Append(
        folder + "/metrics.jsonl",
        Json{{"kind", "step"}, {"time_s", 1}, {"policy", "p"}, {"step", step}, {"reward_mean", reward}}.dump() + "\n");
  }
  const Json data = DataOf(Page(folder));
  EXPECT_EQ(data["policies"][0]["steps"]["reward_mean"], Json({0.1, 0.25, 0.35, 0.4}));
  EXPECT_EQ(data["steps_redone"], 2);
}

TEST(ReportTest, TheSampleMixesVersionsStagesAndOutcomes) {
  const Json episodes = Report({.seed = 3}, "sample")["episodes"];
  ASSERT_EQ(episodes.size(), 10u);
  std::set<std::pair<std::string, bool>> kinds;
  for (size_t i = 0; i < episodes.size(); ++i) {
    if (i < 3) {
      EXPECT_THAT(episodes[i]["why"].get<std::string>(), StartsWith("written by two versions"));
    }
    kinds.emplace(episodes[i]["why"], episodes[i]["right"].get<bool>());
  }
  for (const char* why : {"early in training", "late in training", "final evaluation"}) {
    EXPECT_THAT(kinds, Contains(std::pair(std::string(why), true)));
    EXPECT_THAT(kinds, Contains(std::pair(std::string(why), false)));
  }
  EXPECT_EQ(episodes, Report({.seed = 3}, "sample")["episodes"]);  // the same every time
}

TEST(ReportTest, WithoutAStepTheOnlyEvaluationIsThatOfTheWarmStart) {
  const Json episodes = Report({.steps = 0, .finished = false}, "warm")["episodes"];
  ASSERT_EQ(episodes.size(), 10u);
  for (const Json& episode : episodes) EXPECT_EQ(episode["why"], "evaluation after the warm start");
}

TEST(ReportTest, AMissingFolderOrFileIsNamed) {
  for (const std::string& folder : {Folder("nowhere"), FreshFolder("empty")}) {
    const absl::Status status = WriteReport(folder);
    EXPECT_TRUE(absl::IsNotFound(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(folder + "/metrics.jsonl"));
    EXPECT_FALSE(std::filesystem::exists(folder + "/report.html"));
  }
}

TEST(ReportTest, AFileOfSomethingElseIsAnError) {
  const std::string folder = FreshFolder("garbage");
  Append(folder + "/metrics.jsonl", "step,reward\n1,0.5\n");
  const absl::Status status = WriteReport(folder);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(folder + "/metrics.jsonl:1"));
}

TEST(ReportTest, APageIsReplacedWholeOrNotAtAll) {
  WriteSyntheticRun({.steps = 3}, Folder("atomic"));
  const std::string before = Page(Folder("atomic"));
  std::ofstream(Folder("atomic") + "/metrics.jsonl") << "garbage\n";
  EXPECT_FALSE(WriteReport(Folder("atomic")).ok());
  EXPECT_EQ(*ReadFile(Folder("atomic") + "/report.html"), before);
  // Nothing written aside is left behind.
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(Folder("atomic"))) files.insert(entry.path().filename());
  EXPECT_EQ(files, (std::set<std::string>{"config.yaml", "episodes.jsonl", "metrics.jsonl", "report.html"}));
}

}  // namespace
}  // namespace tandem
