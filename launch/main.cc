#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "base/log.h"
#include "launch/allocator.h"
#include "launch/cli.h"
#include "launch/commands.h"

int main(int argc, char** argv) {
  prctl(PR_SET_NAME, "tandem");  // children are started through /proc/self/exe, and would be called "exe"
  tandem::KeepFreedMemory();
  tandem::LogToStandardError();
  const int status = tandem::RunCommandLine(argc, argv);
  // What was printed may have been kept back until now. That a pipe's reader has gone is no error.
  struct stat out = {};
  const bool pipe = fstat(STDOUT_FILENO, &out) == 0 && (S_ISFIFO(out.st_mode) || S_ISSOCK(out.st_mode));
  if ((std::fflush(stdout) == 0 && std::ferror(stdout) == 0) || pipe) return status;
  if (status == tandem::kExitFine) std::fputs("tandem: standard output: cannot be written\n", stderr);
  return status == tandem::kExitFine ? tandem::kExitFailed : status;
}
