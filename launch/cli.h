// The command line.
#pragma once

namespace tandem {

// Runs the program and returns its exit status: 0, 1 (the run failed), 2 (bad input).
int RunCommandLine(int argc, char** argv);

}  // namespace tandem
