// Follows a file of JSON lines that another process writes.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace tandem {

// The text under `key`; "" when there is none.
std::string TextOf(const nlohmann::json& line, const char* key);

class MetricsTail {
 public:
  explicit MetricsTail(std::string file) : file_(std::move(file)) {}

  // The objects of the whole lines that were added since the last call; none while the file is not there. A line that
  // is no JSON object is passed over.
  std::vector<nlohmann::json> Read();

 private:
  std::string file_;
  uint64_t offset_ = 0;  // bytes read
  std::string partial_;  // the beginning of a line that is still being written
};

}  // namespace tandem
