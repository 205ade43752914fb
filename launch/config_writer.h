// A configuration as YAML.
#pragma once

#include <string>

#include "launch/schema.h"

namespace tandem {

struct YamlStyle {
  bool documented = false;     // each key under a comment with its documentation, range and default
  bool without_local = false;  // leave out the keys that are a matter of one machine (devices, endpoints)
};

// All keys that are set, in the schema's order; entries of maps in the order of their names. Reads back to an equal
// message.
std::string WriteYaml(const Message& message, const YamlStyle& style = {});

// The digest that peers compare: of everything but the keys that are a matter of one machine.
std::string ConfigDigest(const Message& config);

}  // namespace tandem
