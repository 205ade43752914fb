// Shows how a run is going: on a terminal in place, else as plain lines, a few for each stage.
#pragma once

#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "launch/metrics_tail.h"
#include "launch/progress.h"
#include "proto/config.pb.h"

namespace tandem {

// The view of a terminal that is `width` columns wide: lines without line ends, none longer than that. `elapsed_s`:
// since the start of the command.
std::vector<std::string> RenderView(const Progress& progress, const std::string& title, double elapsed_s, int width);

// What a run came to, for people: a few lines.
std::vector<std::string> RenderSummary(const Progress& progress, double elapsed_s);

// Not thread-safe.
class LiveView {
 public:
  // `out` is a terminal: drawn in place with ANSI sequences; else none are written.
  LiveView(const proto::Config& config, std::string title, const std::string& metrics_file, FILE* out, bool terminal);

  void Tick();                        // reads what is new, and shows it; cheap when called often
  void Say(const std::string& line);  // a line of its own, above the view
  void Finish();                      // the last state stays; the summary follows

  const Progress& progress() const { return progress_; }

 private:
  void Read();
  void Draw();
  void Erase();
  void PrintNews(const nlohmann::json& line);
  void PrintStage();
  void PrintStep(double time_s, bool sft, const std::string& policy);
  void Print(double time_s, const std::string& text);

  Progress progress_;
  std::string title_;
  MetricsTail tail_;
  FILE* out_;
  bool terminal_;
  RealClock clock_;
  double drawn_s_ = -1;
  size_t lines_ = 0;  // of the view that stand on the terminal
  RunStage stage_ = RunStage::kStarting;
};

// Whether standard output is a terminal that understands ANSI sequences.
bool IsTerminal(FILE* out);

}  // namespace tandem
