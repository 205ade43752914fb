// The one writer of RUN/metrics.jsonl, and of its copy for TensorBoard.
#pragma once

#include <google/protobuf/message.h>

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "exchange/tensorboard.h"

namespace tandem {

// `values` as one line of JSON: {"kind":...,"time_s":...,...} with the fields in the order of the schema, those that
// are 0 too; numbers as numbers, and null where one is not finite.
std::string MetricsLine(std::string_view kind, const google::protobuf::Message& values, double time_s);

// A disk that fails costs the metrics, never the run: the first failed write is logged. Not thread-safe.
class MetricsWriter {
 public:
  // Appends to run_folder/metrics.jsonl (a resumed run goes on in the same file), and opens a new event file in
  // run_folder/tensorboard. The error names the path.
  static absl::StatusOr<std::unique_ptr<MetricsWriter>> Create(const std::string& run_folder);
  ~MetricsWriter();
  MetricsWriter(const MetricsWriter&) = delete;
  MetricsWriter& operator=(const MetricsWriter&) = delete;

  // Writes a line through to the file, so that whoever follows it sees it whole. `now`: seconds of the run's clock.
  void Write(std::string_view kind, const google::protobuf::Message& values, double now);

 private:
  MetricsWriter(std::FILE* file, std::unique_ptr<TensorBoardWriter> tensorboard)
      : file_(file), tensorboard_(std::move(tensorboard)) {}
  void Mirror(std::string_view kind, const google::protobuf::Message& values, double now);

  std::FILE* file_;  // owned
  std::unique_ptr<TensorBoardWriter> tensorboard_;
  bool failed_ = false;
  double flushed_s_ = 0;
};

}  // namespace tandem
