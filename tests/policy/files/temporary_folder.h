// A folder for one test.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "base/file.h"

namespace tandem {

// Empty at first, and removed with all that is in it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    char name[] = "/tmp/tandem-files-XXXXXX";
    if (mkdtemp(name) == nullptr) std::abort();
    path_ = name;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }

  const std::string& path() const { return path_; }
  std::string File(const std::string& name) const { return path_ + "/" + name; }
  void Write(const std::string& name, std::string_view bytes) const {
    std::ofstream file(File(name), std::ios::binary | std::ios::trunc);  // not synced, which would take the test's time
    file << bytes;
    ASSERT_TRUE(file.good()) << name;
  }
  std::string Read(const std::string& name) const { return ReadFile(File(name)).value(); }

 private:
  std::string path_;
};

}  // namespace tandem
