// Scalars for TensorBoard: event files in TensorFlow's TFRecord framing.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tandem {

// CRC-32C (Castagnoli), RFC 3720, appendix B.4.
uint32_t Crc32c(std::string_view bytes);

// `payload` as one TFRecord: length (uint64), masked CRC of the length, payload, masked CRC of the payload; all little
// endian. Masked: rotated right by 15 bits plus 0xa282ead8 (tensorflow/core/lib/hash/crc32c.h).
std::string TfRecord(std::string_view payload);

// Appends to one event file. A disk that fails costs the curves, never the run: the first failed write is logged, and
// nothing is written after it. Not thread-safe.
class TensorBoardWriter {
 public:
  // Opens a new file events.out.tfevents.* in `folder`, which is created when it is missing. Several files in one
  // folder (a run that was resumed) are one run to TensorBoard. The error names the path.
  static absl::StatusOr<std::unique_ptr<TensorBoardWriter>> Create(const std::string& folder);
  ~TensorBoardWriter();  // flushes
  TensorBoardWriter(const TensorBoardWriter&) = delete;
  TensorBoardWriter& operator=(const TensorBoardWriter&) = delete;

  // One point of the curve `tag` ("executor/reward_mean"; the part before the slash groups curves). `wall_time` is in
  // seconds since 1970. TensorBoard keeps float32. Buffered: blocks for no longer than a write to the page cache.
  void Scalar(std::string_view tag, int64_t step, double value, double wall_time);

  // Hands everything to the operating system, so that a TensorBoard that watches the folder sees it.
  void Flush();

  const std::string& path() const { return path_; }

 private:
  TensorBoardWriter(std::string path, std::FILE* file) : path_(std::move(path)), file_(file) {}
  void Write(std::string_view payload);
  void Fail(const char* what);

  std::string path_;
  std::FILE* file_;  // owned; null after a failed write
};

}  // namespace tandem
