// YAML onto the schema of the configuration, strictly: a key that is unknown, misspelt, given twice, of the wrong type
// or out of range is an error with its place. The one place where yaml-cpp's exceptions become a Status.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "launch/key_places.h"
#include "launch/schema.h"

namespace tandem {

// Reads the YAML text of a file into `message` (no defaults are filled in) and notes each key's line in `places`.
absl::Status ReadYaml(const std::string& text, Message* message, KeyPlaces* places);

// Sets the key `path` ("policies.planner.ranks") to the YAML text `value`, over whatever it was. Entries of a map have
// to be there, or be among `may_be_added` ("roles.planner"). `flag` is what errors name: "--set
// policies.planner.ranks".
absl::Status SetKey(const std::string& path, const std::string& value, const std::string& flag,
                    const std::vector<std::string>& may_be_added, Message* message, KeyPlaces* places);

// A key that was set and has no effect (option `when`) is an error. `flags_only`: only one that a flag has set.
absl::Status CheckEffects(const Message& message, const KeyPlaces& places, bool flags_only);

}  // namespace tandem
