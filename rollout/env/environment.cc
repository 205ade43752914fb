#include "rollout/env/environment.h"

#include <map>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "base/status.h"
#include "rollout/env/dag_calc.h"
#include "rollout/env/word_problems.h"

namespace tandem {
namespace {

struct Registry {
  absl::Mutex mutex;
  std::map<std::string, EnvironmentFactory> factories ABSL_GUARDED_BY(mutex) = {{"dag-calc", &MakeDagCalc},
                                                                                {"word-problems", &MakeWordProblems}};
};

Registry& Environments() {
  static Registry* registry = new Registry;  // never destroyed: threads may outlive main's statics
  return *registry;
}

}  // namespace

void RegisterEnvironment(const std::string& name, EnvironmentFactory factory) {
  Registry& registry = Environments();
  absl::MutexLock lock(&registry.mutex);
  registry.factories[name] = factory;
}

std::vector<std::string> EnvironmentNames() {
  Registry& registry = Environments();
  absl::MutexLock lock(&registry.mutex);
  std::vector<std::string> names;
  for (const auto& [name, factory] : registry.factories) names.push_back(name);
  return names;
}

absl::StatusOr<std::unique_ptr<Environment>> MakeEnvironment(const proto::EnvironmentConfig& config, uint64_t seed,
                                                             const std::string& directory) {
  EnvironmentFactory factory = nullptr;
  {
    Registry& registry = Environments();
    absl::MutexLock lock(&registry.mutex);
    const auto found = registry.factories.find(config.name());
    if (found != registry.factories.end()) factory = found->second;
  }
  if (factory == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("environment.name: there is no ", config.name(),
                                                   "; expected one of ", absl::StrJoin(EnvironmentNames(), ", ")));
  }
  return factory(config, seed, directory);
}

}  // namespace tandem
