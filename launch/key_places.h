// Where each key of a configuration was set, so that every error can say it.
#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"

namespace tandem {

class KeyPlaces {
 public:
  explicit KeyPlaces(std::string file = "") : file_(std::move(file)) {}

  void SetLine(const std::string& path, int line);                 // in the file
  void SetFlag(const std::string& path, const std::string& flag);  // "--set policies.planner.ranks", "--seed"

  // kInvalidArgument, one line: "configs/x.yaml:12: policies.planner.ranks: <message>" or "--set KEY: <message>". A key
  // that was not set (its default is meant) is placed where the nearest section above it is.
  absl::Status Error(const std::string& path, const std::string& message) const;

  // Whether the key itself was set by a flag.
  bool FromFlag(const std::string& path) const { return flags_.contains(path); }

  const std::string& file() const { return file_; }

 private:
  std::string file_;
  std::map<std::string, std::string> lines_;
  std::map<std::string, std::string> flags_;
};

}  // namespace tandem
