// The journal of one incarnation of a run: RUN/journal/<incarnation>. Every input of the exchange that changes what it
// does, written down before anybody sees an effect of it. From it an exchange that was killed goes on where it stopped
// (exchange/recovery.h), a trainer that was killed gets its batches again, and a run is repeated (tandem replay).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "exchange/arrived_group.h"
#include "exchange/journal_file.h"
#include "proto/journal.pb.h"

typedef struct ZSTD_CCtx_s ZSTD_CCtx;

namespace tandem {

// <run_folder>/journal/<incarnation>
std::string JournalPath(const std::string& run_folder, uint32_t incarnation);

struct JournalEntry {
  uint64_t place;  // of the record in the file
  proto::JournalEvent event;
};

// Reads from the beginning, up to the last good record. Movable; not thread-safe.
class EventReader {
 public:
  // kNotFound: no such file, or its first record never became whole; others as JournalReader::Open. kDataLoss: the
  // first record is no opening.
  static absl::StatusOr<EventReader> Open(const std::string& path);

  const JournalEntry& opening() const { return opening_; }
  // The next event after the opening; nullopt at the end. kDataLoss names the path and the place of what is damaged.
  absl::StatusOr<std::optional<JournalEntry>> Next();
  // The event at a place.
  absl::StatusOr<proto::JournalEvent> ReadAt(uint64_t place);

 private:
  EventReader(std::string path, JournalReader file) : path_(std::move(path)), file_(std::move(file)) {}

  std::string path_;
  JournalReader file_;
  JournalEntry opening_;
};

// The group that arrived with the call at a place of a journal. kDataLoss: there is none.
absl::StatusOr<ArrivedGroup> ReadGroup(const std::string& path, uint64_t place);

// Movable; not thread-safe. One at a time.
class EventWriter {
 public:
  // Creates the file and its folder, or goes on behind the last good record.
  static absl::StatusOr<EventWriter> Open(const std::string& path);
  ~EventWriter();
  EventWriter(EventWriter&&) noexcept = default;
  EventWriter& operator=(EventWriter&&) noexcept = default;

  // Returns the event's place. Errors as JournalWriter::Append.
  absl::StatusOr<uint64_t> Append(const proto::JournalEvent& event);

 private:
  struct FreeContext {
    void operator()(ZSTD_CCtx* context) const;
  };
  explicit EventWriter(JournalWriter file);

  JournalWriter file_;
  std::unique_ptr<ZSTD_CCtx, FreeContext> zstd_;
  std::string plain_, packed_;
};

}  // namespace tandem
