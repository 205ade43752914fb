#include "exchange/journal_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/digest.h"
#include "base/status.h"

namespace tandem {
namespace {

constexpr std::string_view kMagic = "TNDMJRNL";
constexpr uint64_t kFileHead = 12, kRecordHead = 24;

struct RecordHead {
  uint32_t size, kind;
  uint64_t payload_checksum, head_checksum;
};
static_assert(sizeof(RecordHead) == kRecordHead);

uint64_t HeadChecksum(const RecordHead& head) {
  return StableHash({reinterpret_cast<const char*>(&head), offsetof(RecordHead, head_checksum)});
}

std::string FileHead() {
  std::string head(kMagic);
  head.append(reinterpret_cast<const char*>(&kJournalFormat), sizeof kJournalFormat);
  return head;
}

absl::Status FileError(const std::string& path, const char* what) {
  const std::string message = absl::StrCat(path, ": ", what, ": ", std::strerror(errno));
  if (errno == ENOENT) return absl::NotFoundError(message);
  if (errno == ENOSPC || errno == EDQUOT) return absl::ResourceExhaustedError(message);
  return absl::InternalError(message);
}

// Bytes read at `offset`: fewer than `size` at the end of the file.
absl::StatusOr<size_t> ReadAt(const std::string& path, int file, char* to, size_t size, uint64_t offset) {
  size_t done = 0;
  while (done < size) {
    const ssize_t count = pread(file, to + done, size - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return FileError(path, "cannot be read");
    if (count == 0) break;
    done += static_cast<size_t>(count);
  }
  return done;
}

absl::Status WriteAll(const std::string& path, int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = write(file, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return FileError(path, "cannot be written");
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<JournalReader> JournalReader::Open(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return FileError(path, "cannot be opened");
  JournalReader reader(path, file);
  char head[kFileHead];
  TANDEM_ASSIGN_OR_RETURN(const size_t size, ReadAt(path, file, head, sizeof head, 0));
  if (size < kFileHead || std::string_view(head, kMagic.size()) != kMagic) {
    return absl::DataLossError(absl::StrCat(path, ": this is no journal"));
  }
  uint32_t format = 0;
  std::memcpy(&format, head + kMagic.size(), sizeof format);
  if (format != kJournalFormat) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": a journal of format ", format, "; this build reads format ", kJournalFormat));
  }
  reader.good_bytes_ = kFileHead;
  return reader;
}

JournalReader::JournalReader(JournalReader&& other) noexcept
    : path_(std::move(other.path_)),
      file_(std::exchange(other.file_, -1)),
      good_bytes_(other.good_bytes_),
      cut_short_(other.cut_short_) {}

JournalReader& JournalReader::operator=(JournalReader&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(file_, other.file_);
  std::swap(good_bytes_, other.good_bytes_);
  std::swap(cut_short_, other.cut_short_);
  return *this;
}

JournalReader::~JournalReader() {
  if (file_ >= 0) close(file_);
}

absl::StatusOr<std::optional<JournalRecord>> JournalReader::Next() {
  const auto end = [this](bool cut_short) {
    cut_short_ = cut_short;
    return std::optional<JournalRecord>();
  };
  RecordHead head;
  TANDEM_ASSIGN_OR_RETURN(const size_t got,
                          ReadAt(path_, file_, reinterpret_cast<char*>(&head), kRecordHead, good_bytes_));
  if (got < kRecordHead) return end(/*cut_short=*/got > 0);
  const absl::Status corrupt = absl::DataLossError(
      absl::StrCat(path_, ": the record at byte ", good_bytes_, " is damaged: the journal is corrupt from there on"));
  if (HeadChecksum(head) != head.head_checksum || head.size > kMaxJournalRecord) return corrupt;
  JournalRecord record{head.kind, std::string(head.size, '\0')};
  const uint64_t offset = good_bytes_ + kRecordHead, record_end = offset + head.size;
  TANDEM_ASSIGN_OR_RETURN(const size_t read, ReadAt(path_, file_, record.payload.data(), head.size, offset));
  if (read < head.size) return end(/*cut_short=*/true);
  if (StableHash(record.payload) != head.payload_checksum) {
    char behind;
    TANDEM_ASSIGN_OR_RETURN(const size_t more, ReadAt(path_, file_, &behind, 1, record_end));
    if (more > 0) return corrupt;
    return end(/*cut_short=*/true);  // the last one: parts of it never reached the device
  }
  good_bytes_ = record_end;
  cut_short_ = false;
  return std::optional<JournalRecord>(std::move(record));
}

absl::StatusOr<JournalWriter> JournalWriter::Open(const std::string& path) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0) return FileError(path, "cannot be opened");
  JournalWriter writer(path, file, 0);
  struct stat status;
  if (fstat(file, &status) != 0) return FileError(path, "cannot be read");
  if (static_cast<uint64_t>(status.st_size) < kFileHead) {  // new, or its writer died before the head was out
    if (ftruncate(file, 0) != 0) return FileError(path, "cannot be cut");
    TANDEM_RETURN_IF_ERROR(WriteAll(path, file, FileHead()));
    writer.bytes_ = kFileHead;
    return writer;
  }
  TANDEM_ASSIGN_OR_RETURN(JournalReader reader, JournalReader::Open(path));
  while (true) {
    TANDEM_ASSIGN_OR_RETURN(const std::optional<JournalRecord> record, reader.Next());
    if (!record) break;
  }
  writer.bytes_ = reader.good_bytes();
  if (ftruncate(file, static_cast<off_t>(writer.bytes_)) != 0) return FileError(path, "cannot be cut");
  if (lseek(file, 0, SEEK_END) < 0) return FileError(path, "cannot be written");
  return writer;
}

JournalWriter::JournalWriter(JournalWriter&& other) noexcept
    : path_(std::move(other.path_)), file_(std::exchange(other.file_, -1)), bytes_(other.bytes_) {}

JournalWriter& JournalWriter::operator=(JournalWriter&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(file_, other.file_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

JournalWriter::~JournalWriter() {
  if (file_ >= 0) close(file_);
}

absl::Status JournalWriter::Append(uint32_t kind, std::string_view payload) {
  TANDEM_CHECK(payload.size() <= kMaxJournalRecord);
  RecordHead head = {static_cast<uint32_t>(payload.size()), kind, StableHash(payload), 0};
  head.head_checksum = HeadChecksum(head);
  buffer_.assign(reinterpret_cast<const char*>(&head), kRecordHead);
  buffer_ += payload;
  TANDEM_RETURN_IF_ERROR(WriteAll(path_, file_, buffer_));
  bytes_ += buffer_.size();
  return absl::OkStatus();
}

}  // namespace tandem
