// The configuration of a run: read, overridden, filled in with defaults, and checked.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "launch/key_places.h"
#include "proto/config.pb.h"

namespace tandem {

struct ConfigSource {
  std::string file;
  std::vector<std::string> sets;    // "key=value", applied in this order
  std::optional<std::string> seed;  // --seed
  bool resolved =
      false;  // the file is a run's, with all keys in it: those that `sets` leave without effect are dropped
};

struct LoadedConfig {
  proto::Config config;  // every key that has an effect is set; every role has a policy
  std::string folder;    // of the file: relative paths in the configuration start here
  KeyPlaces places;
};

// The roles that episodes have.
const std::vector<std::string>& RoleNames();

// kInvalidArgument or kNotFound, one line: "configs/x.yaml:12: policies.planner.staleness.bund: unknown key; did you
// mean bound?". Checks each key by itself; CheckConfig (config_check.h) how they go together.
absl::StatusOr<LoadedConfig> LoadConfig(const ConfigSource& source);

// The same, with a planner and an executor of default settings in place of a file.
absl::StatusOr<LoadedConfig> DefaultConfig(const ConfigSource& source);

// The policies that are trained, in the order of the roles they play first.
std::vector<std::string> PolicyNames(const proto::Config& config);

}  // namespace tandem
