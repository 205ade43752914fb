// How far a command has come.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

namespace tandem {

// One line on standard error, written over and over: "120 of 3000 sequences, 12 s left". Only where a terminal shows it
// and standard output goes elsewhere, and not before a second has passed.
class CountLine {
 public:
  // `what`: in the plural.
  CountLine(std::string what, size_t total);
  CountLine(const CountLine&) = delete;
  ~CountLine();  // wipes the line
  void Add(size_t done);

 private:
  using Clock = std::chrono::steady_clock;
  const std::string what_;
  const size_t total_;
  const bool shown_;  // whether anybody looks
  const Clock::time_point start_ = Clock::now();
  Clock::time_point printed_ = start_;
  size_t done_ = 0;
};

}  // namespace tandem
