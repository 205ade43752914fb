#include "launch/simulation_setup.h"

#include <limits>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status.h"
#include "exchange/journal.h"
#include "launch/processes.h"
#include "launch/run_folder.h"
#include "study/simulation/admission_rule.h"
#include "study/simulation/rival_run.h"
#include "study/simulation/staleness_limit.h"

namespace tandem {
namespace {

constexpr char kWorkers[] = "workers";  // of --speed

absl::StatusOr<std::vector<std::optional<uint32_t>>> ReadBounds(const std::string& text) {
  std::vector<std::optional<uint32_t>> bounds;
  if (text.empty()) return bounds = {std::nullopt};
  for (const auto& word : absl::StrSplit(text, ',')) {
    uint32_t bound = 0;
    if (!absl::SimpleAtoi(word, &bound) || bound > 1024) {
      return absl::InvalidArgumentError(absl::StrCat("--bounds: expected whole numbers from 0 to 1024, found ", text));
    }
    bounds.push_back(bound);
  }
  return bounds;
}

// "planner=2"
absl::Status ReadSpeed(const std::string& text, const proto::Config& config, std::map<std::string, double>* speed) {
  const std::pair<std::string, std::string> words = absl::StrSplit(text, absl::MaxSplits('=', 1));
  double factor = 0;
  if (words.first != kWorkers && !config.policies().contains(words.first)) {
    std::vector<std::string> names = {kWorkers};
    for (const auto& [name, policy] : config.policies()) names.push_back(name);
    std::sort(names.begin() + 1, names.end());
    return absl::InvalidArgumentError(absl::StrCat("--speed ", text, ": there is no policy ", words.first,
                                                   "; expected one of ", absl::StrJoin(names, ", ")));
  }
  if (!absl::SimpleAtod(words.second, &factor) || !(factor > 0 && factor <= 1e6)) {
    return absl::InvalidArgumentError(absl::StrCat("--speed ", text, ": expected POLICY=FACTOR with a factor above 0"));
  }
  (*speed)[words.first] = factor;
  return absl::OkStatus();
}

// A number that a flag gives, if it does.
absl::Status Read(const char* flag, const std::optional<double>& given, double least, double most, const char* expected,
                  double* value) {
  if (!given) return absl::OkStatus();
  if (!(*given >= least && *given <= most)) {
    return absl::InvalidArgumentError(absl::StrCat(flag, ": expected ", expected, ", found ", *given));
  }
  *value = *given;
  return absl::OkStatus();
}

absl::Status ReadNumbers(const SimulateFlags& flags, SimulationSetup* setup) {
  constexpr double kTiny = 1e-9, kMost = 1e6;
  double workers = 1, publish_s = 0;
  TANDEM_RETURN_IF_ERROR(Read("--workers", flags.workers, 1, 1e5, "1 to 100000", &workers));
  TANDEM_RETURN_IF_ERROR(Read("--median", flags.median_s, kTiny, kMost, "seconds above 0", &setup->median_s));
  TANDEM_RETURN_IF_ERROR(Read("--sigma", flags.sigma, 0, 10, "0 to 10", &setup->sigma));
  TANDEM_RETURN_IF_ERROR(Read("--cap", flags.cap, 1, kMost, "1 or more", &setup->cap));
  TANDEM_RETURN_IF_ERROR(Read("--step", flags.step_s, 0, kMost, "seconds, 0 or more", &setup->step_s));
  TANDEM_RETURN_IF_ERROR(Read("--publish", flags.publish_s, 0, kMost, "seconds, 0 or more", &publish_s));
  return Read("--cores", flags.cores, kTiny, kMost, "a number above 0", &setup->cores);
}

// Either a run was measured, or latencies are given.
absl::Status CheckEffects(const SimulateFlags& flags) {
  const auto idle = [](const char* flag, const char* why) {
    return absl::InvalidArgumentError(absl::StrCat(flag, ": has no effect ", why));
  };
  if (flags.from.empty()) {
    if (!flags.speeds.empty()) return idle("--speed", "without --from: the times of steps are given (--step)");
    if (flags.cores) return idle("--cores", "without --from: the times of groups are given (--median)");
    return absl::OkStatus();
  }
  if (flags.median_s) return idle("--median", "with --from: groups are those that the run played");
  if (flags.sigma) return idle("--sigma", "with --from: groups are those that the run played");
  if (flags.cap) return idle("--cap", "with --from: groups are those that the run played");
  if (flags.step_s) return idle("--step", "with --from: steps take what they took; --speed POLICY=F changes it");
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<FittedWork>> Fit(const std::string& run) {
  TANDEM_ASSIGN_OR_RETURN(const std::string folder, OpenRunFolder(run));
  TANDEM_ASSIGN_OR_RETURN(const LoadedConfig loaded,
                          LoadConfig({.file = ConfigFile(folder), .sets = {}, .seed = {}, .resolved = true}));
  const std::string journal = JournalPath(folder, LastIncarnation(folder).value_or(0));
  TANDEM_ASSIGN_OR_RETURN(FittedWork fitted, FitWork(folder, journal, loaded.config));
  return std::make_unique<FittedWork>(std::move(fitted));
}

}  // namespace

absl::StatusOr<SimulationSetup> SetUpSimulation(SimulateFlags flags) {
  if (!flags.seed.empty()) flags.source.seed = flags.seed;
  if (flags.source.file.empty()) {
    if (flags.from.empty()) return absl::InvalidArgumentError("CONFIG is missing, or --from RUN to take a run's");
    TANDEM_ASSIGN_OR_RETURN(const std::string folder, OpenRunFolder(flags.from));
    flags.source.file = ConfigFile(folder);
    flags.source.resolved = true;
  }
  SimulationSetup setup;
  TANDEM_ASSIGN_OR_RETURN(LoadedConfig loaded, LoadConfig(flags.source));
  TANDEM_RETURN_IF_ERROR(CheckEffects(flags));
  TANDEM_RETURN_IF_ERROR(ReadNumbers(flags, &setup));
  TANDEM_ASSIGN_OR_RETURN(setup.bounds, ReadBounds(flags.bounds));
  for (const std::string& text : flags.speeds) {
    TANDEM_RETURN_IF_ERROR(ReadSpeed(text, loaded.config, &setup.changes.speed));
  }
  for (const std::string& words : flags.rules) {
    for (const auto& rule : absl::StrSplit(words, ',', absl::SkipEmpty())) {
      if (rule == "tandem") continue;  // is simulated in any case
      TANDEM_RETURN_IF_ERROR(Annotate(MakeAdmissionRule(std::string(rule), {}).status(), "--rule"));
      setup.rules.emplace_back(rule);
    }
  }
  if (!flags.from.empty()) {
    TANDEM_ASSIGN_OR_RETURN(setup.fitted, Fit(flags.from));
    setup.changes.publish_s = flags.publish_s;
    setup.cores = flags.cores.value_or(AvailableCores());
    setup.workers = flags.workers.value_or(WorkerCount(loaded.config, AvailableCores()));
  } else {
    setup.cores = std::numeric_limits<double>::infinity();
    setup.workers = flags.workers.value_or(1);
  }
  setup.config = std::move(loaded.config);
  setup.flags = std::move(flags);
  return setup;
}

absl::StatusOr<VirtualRunOptions> OptionsOf(const SimulationSetup& setup, std::optional<uint32_t> bound) {
  VirtualRunOptions options;
  options.config = setup.config;
  options.workers = setup.workers;
  options.cores = setup.cores;
  for (auto& [name, policy] : *options.config.mutable_policies()) {
    options.step_s[name] = setup.step_s;
    if (bound) policy.mutable_staleness()->set_bound(*bound);
  }
  if (setup.fitted != nullptr) {
    TANDEM_ASSIGN_OR_RETURN(options.work, WorkFor(*setup.fitted, options.config, setup.changes));
  } else {
    options.group_s = LogNormalDuration(setup.median_s, setup.sigma, setup.cap);
    options.publish_s = setup.flags.publish_s.value_or(0);
  }
  return options;
}

}  // namespace tandem
