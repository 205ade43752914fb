// Which build of the program this is.
#pragma once

#include <string>

namespace tandem {

// The linker's build id of the running executable in hex, or a digest of its file where it has none: peers of one run
// have to come from one build.
std::string BuildId();

}  // namespace tandem
