// A journal on disk: records, one appended after the other, each with a checksum, and none ever changed.
//
//   file    "TNDMJRNL", format (uint32), record...
//   record  size of the payload (uint32), kind (uint32), XXH3-64 of the payload and of these three (uint64 each),
//   payload
//
// Numbers are little-endian. A process that dies while it appends leaves a last record that is cut short or does not
// fit its checksum: readers end before it, and a writer that goes on cuts it off. Any other damage is corruption, and
// an error. What Append has returned from outlives the process; it is not synced to the device, so it need not outlive
// the machine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tandem {

inline constexpr uint32_t kJournalFormat = 1;
inline constexpr uint32_t kMaxJournalRecord = 1u << 30;  // bytes of a payload

struct JournalRecord {
  uint32_t kind = 0;
  std::string payload;
};

// Reads a journal from the beginning, also while it is being written. Movable; not thread-safe.
class JournalReader {
 public:
  // kNotFound: no such file; kDataLoss: not a journal; kFailedPrecondition: of another format. Errors name the path.
  static absl::StatusOr<JournalReader> Open(const std::string& path);
  JournalReader(JournalReader&& other) noexcept;
  JournalReader& operator=(JournalReader&& other) noexcept;
  ~JournalReader();

  // The next record; nullopt after the last good one. kDataLoss: a damaged record, with its place, and more behind it.
  absl::StatusOr<std::optional<JournalRecord>> Next();

  // The next record is the one at `place`: what good_bytes() said before it was read.
  void GoTo(uint64_t place) { good_bytes_ = place; }

  // Where the good records end that were read so far, and whether Next found a last record that is not whole.
  uint64_t good_bytes() const { return good_bytes_; }
  bool cut_short() const { return cut_short_; }

 private:
  JournalReader(std::string path, int file) : path_(std::move(path)), file_(file) {}

  std::string path_;
  int file_;
  uint64_t good_bytes_ = 0;
  bool cut_short_ = false;
};

// Movable; not thread-safe. One at a time: two writers of a journal would damage it.
class JournalWriter {
 public:
  // Creates `path`, or goes on behind the last good record of the journal there. Errors as JournalReader's.
  static absl::StatusOr<JournalWriter> Open(const std::string& path);
  JournalWriter(JournalWriter&& other) noexcept;
  JournalWriter& operator=(JournalWriter&& other) noexcept;
  ~JournalWriter();

  // One write to the kernel. kResourceExhausted or kInternal, naming the path: nothing more should be appended then.
  absl::Status Append(uint32_t kind, std::string_view payload);

  uint64_t bytes() const { return bytes_; }

 private:
  JournalWriter(std::string path, int file, uint64_t bytes) : path_(std::move(path)), file_(file), bytes_(bytes) {}

  std::string path_;
  int file_;
  uint64_t bytes_;
  std::string buffer_;
};

}  // namespace tandem
