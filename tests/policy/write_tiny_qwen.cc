// write_tiny_qwen FOLDER [SEED]: a model folder to try things with where none can be downloaded.
#include <cstdio>
#include <cstdlib>

#include "tests/policy/tiny_qwen.h"

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: write_tiny_qwen FOLDER [SEED], in the repository's root\n");
    return 2;
  }
  const absl::Status written = tandem::WriteTinyQwen(argv[1], argc == 3 ? std::strtoull(argv[2], nullptr, 10) : 1);
  if (!written.ok()) std::fprintf(stderr, "write_tiny_qwen: %s\n", std::string(written.message()).c_str());
  return written.ok() ? 0 : 1;
}
