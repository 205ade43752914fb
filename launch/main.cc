#include <sys/prctl.h>

#include "launch/allocator.h"
#include "launch/cli.h"

int main(int argc, char** argv) {
  prctl(PR_SET_NAME, "tandem");  // children are started through /proc/self/exe, and would be called "exe"
  tandem::KeepFreedMemory();
  return tandem::RunCommandLine(argc, argv);
}
