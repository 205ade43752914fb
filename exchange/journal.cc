#include "exchange/journal.h"

#include <zstd.h>

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace tandem {
namespace {

enum RecordKind : uint32_t { kPlain = 1, kZstd = 2 };

constexpr size_t kPackFrom = 512;  // bytes; smaller ones gain little
constexpr int kLevel = -3;  // log-probabilities hardly pack: level 1 takes 1.6 times as long for a tenth fewer bytes

absl::StatusOr<std::string> Unpack(JournalRecord record) {
  if (record.kind == kPlain) return std::move(record.payload);
  if (record.kind != kZstd) return absl::DataLossError(absl::StrCat("a record of kind ", record.kind));
  const unsigned long long size = ZSTD_getFrameContentSize(record.payload.data(), record.payload.size());
  if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || size > 2ull * kMaxJournalRecord) {
    return absl::DataLossError("a packed record without its size");
  }
  std::string plain(size, '\0');
  const size_t got = ZSTD_decompress(plain.data(), plain.size(), record.payload.data(), record.payload.size());
  if (ZSTD_isError(got) || got != size) return absl::DataLossError("a record that cannot be unpacked");
  return plain;
}

absl::StatusOr<proto::JournalEvent> Parse(JournalRecord record) {
  TANDEM_ASSIGN_OR_RETURN(const std::string plain, Unpack(std::move(record)));
  proto::JournalEvent event;
  if (!event.ParseFromString(plain)) return absl::DataLossError("a record that is no event");
  return event;
}

}  // namespace

std::string JournalPath(const std::string& run_folder, uint32_t incarnation) {
  return absl::StrCat(run_folder, "/journal/", incarnation);
}

absl::StatusOr<EventReader> EventReader::Open(const std::string& path) {
  TANDEM_ASSIGN_OR_RETURN(JournalReader file, JournalReader::Open(path));
  EventReader reader(path, std::move(file));
  TANDEM_ASSIGN_OR_RETURN(std::optional<JournalEntry> first, reader.Next());
  if (!first) return absl::NotFoundError(absl::StrCat(path, ": nothing is written in this journal"));
  if (!first->event.has_opening()) {
    return absl::DataLossError(absl::StrCat(path, ": the journal does not begin with its opening"));
  }
  reader.opening_ = *std::move(first);
  return reader;
}

absl::StatusOr<std::optional<JournalEntry>> EventReader::Next() {
  const uint64_t place = file_.good_bytes();
  TANDEM_ASSIGN_OR_RETURN(std::optional<JournalRecord> record, file_.Next());
  if (!record) return std::nullopt;
  absl::StatusOr<proto::JournalEvent> event = Parse(*std::move(record));
  if (!event.ok()) return Annotate(event.status(), absl::StrCat(path_, ", byte ", place));
  return JournalEntry{place, *std::move(event)};
}

absl::StatusOr<proto::JournalEvent> EventReader::ReadAt(uint64_t place) {
  const uint64_t before = file_.good_bytes();
  file_.GoTo(place);
  absl::StatusOr<std::optional<JournalEntry>> entry = Next();
  file_.GoTo(before);
  TANDEM_RETURN_IF_ERROR(entry.status());
  if (!*entry) return absl::DataLossError(absl::StrCat(path_, ", byte ", place, ": there is no record"));
  return std::move((*entry)->event);
}

absl::StatusOr<ArrivedGroup> ReadGroup(const std::string& path, uint64_t place) {
  TANDEM_ASSIGN_OR_RETURN(EventReader reader, EventReader::Open(path));
  TANDEM_ASSIGN_OR_RETURN(proto::JournalEvent event, reader.ReadAt(place));
  proto::Header header;
  if (!header.ParseFromString(event.call()) || !header.has_group()) {
    return absl::DataLossError(absl::StrCat(path, ", byte ", place, ": a group was expected"));
  }
  ArrivedGroup group{std::move(*header.mutable_group()), {}, place};
  for (std::string& frame : *event.mutable_frames()) group.frames.push_back(wire::MakeFrame(std::move(frame)));
  return group;
}

void EventWriter::FreeContext::operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }

EventWriter::EventWriter(JournalWriter file) : file_(std::move(file)), zstd_(ZSTD_createCCtx()) {}
EventWriter::~EventWriter() = default;

absl::StatusOr<EventWriter> EventWriter::Open(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  if (error) return absl::UnavailableError(absl::StrCat(path, ": ", error.message()));
  TANDEM_ASSIGN_OR_RETURN(JournalWriter file, JournalWriter::Open(path));
  return EventWriter(std::move(file));
}

absl::StatusOr<uint64_t> EventWriter::Append(const proto::JournalEvent& event) {
  const uint64_t place = file_.bytes();
  plain_.clear();
  event.AppendToString(&plain_);
  if (plain_.size() < kPackFrom) {
    TANDEM_RETURN_IF_ERROR(file_.Append(kPlain, plain_));
    return place;
  }
  packed_.resize(ZSTD_compressBound(plain_.size()));
  const size_t size =
      ZSTD_compressCCtx(zstd_.get(), packed_.data(), packed_.size(), plain_.data(), plain_.size(), kLevel);
  TANDEM_CHECK(!ZSTD_isError(size));
  TANDEM_RETURN_IF_ERROR(file_.Append(kZstd, std::string_view(packed_).substr(0, size)));
  return place;
}

}  // namespace tandem
