#include "launch/metrics_tail.h"

#include <fstream>
#include <nlohmann/json.hpp>

namespace tandem {

std::string TextOf(const nlohmann::json& line, const char* key) {
  const auto at = line.find(key);
  return at != line.end() && at->is_string() ? at->get<std::string>() : "";
}

std::vector<nlohmann::json> MetricsTail::Read() {
  std::vector<nlohmann::json> objects;
  std::ifstream file(file_, std::ios::binary);
  if (!file || !file.seekg(static_cast<std::streamoff>(offset_))) return objects;
  char buffer[1 << 16];
  while (file.read(buffer, sizeof buffer), file.gcount() > 0) {
    partial_.append(buffer, static_cast<size_t>(file.gcount()));
    offset_ += static_cast<uint64_t>(file.gcount());
  }
  size_t begin = 0;
  for (size_t end; (end = partial_.find('\n', begin)) != std::string::npos; begin = end + 1) {
    auto json = nlohmann::json::parse(partial_.begin() + static_cast<std::ptrdiff_t>(begin),
                                      partial_.begin() + static_cast<std::ptrdiff_t>(end), nullptr,
                                      /*allow_exceptions=*/false);
    if (json.is_object()) objects.push_back(std::move(json));
  }
  partial_.erase(0, begin);
  return objects;
}

}  // namespace tandem
