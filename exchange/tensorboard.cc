#include "exchange/tensorboard.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "proto/tensorboard.pb.h"

namespace tandem {
namespace {

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78u : 0u);
    table[i] = crc;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kTable = MakeTable();

void AppendLittleEndian(uint64_t value, int bytes, std::string& out) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

void AppendMaskedCrc(std::string_view bytes, std::string& out) {
  const uint32_t crc = Crc32c(bytes);
  AppendLittleEndian(((crc >> 15) | (crc << 17)) + 0xa282ead8u, 4, out);
}

double SecondsSince1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

uint32_t Crc32c(std::string_view bytes) {
  uint32_t crc = ~uint32_t{0};
  for (const char c : bytes) crc = kTable[(crc ^ static_cast<uint8_t>(c)) & 0xff] ^ (crc >> 8);
  return ~crc;
}

std::string TfRecord(std::string_view payload) {
  std::string record;
  record.reserve(payload.size() + 16);
  AppendLittleEndian(payload.size(), 8, record);
  AppendMaskedCrc(std::string_view(record.data(), 8), record);
  record.append(payload);
  AppendMaskedCrc(payload, record);
  return record;
}

absl::StatusOr<std::unique_ptr<TensorBoardWriter>> TensorBoardWriter::Create(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return absl::UnavailableError(absl::StrCat(folder, ": cannot be created: ", error.message()));
  char host[65] = "localhost";
  gethostname(host, sizeof host - 1);
  // TensorBoard reads the files of a folder in the order of their names: the time comes first. The number keeps two
  // writers of one second apart.
  const double now = SecondsSince1970();
  const std::string stem = absl::StrCat(folder, "/events.out.tfevents.", static_cast<int64_t>(now), ".", host, ".");
  for (int number = 0; number < 1000; ++number) {
    const std::string path = absl::StrCat(stem, getpid(), ".", number);
    std::FILE* file = std::fopen(path.c_str(), "wbxe");  // x: never another writer's file; e: closed by exec
    if (file == nullptr && errno == EEXIST) continue;
    if (file == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot be created"));
    std::unique_ptr<TensorBoardWriter> writer(new TensorBoardWriter(path, file));
    proto::TensorBoardEvent event;
    event.set_wall_time(now);
    event.set_file_version("brain.Event:2");
    writer->Write(event.SerializeAsString());
    writer->Flush();
    return writer;
  }
  return absl::AlreadyExistsError(absl::StrCat(stem, "*: 1000 event files of one second"));
}

TensorBoardWriter::~TensorBoardWriter() {
  Flush();
  if (file_ != nullptr) std::fclose(file_);
}

void TensorBoardWriter::Scalar(std::string_view tag, int64_t step, double value, double wall_time) {
  proto::TensorBoardEvent event;
  event.set_wall_time(wall_time);
  event.set_step(step);
  proto::TensorBoardSummary::Value* point = event.mutable_summary()->add_value();
  point->set_tag(std::string(tag));
  point->set_simple_value(static_cast<float>(value));
  Write(event.SerializeAsString());
}

void TensorBoardWriter::Flush() {
  if (file_ != nullptr && std::fflush(file_) != 0) Fail("cannot be flushed");
}

void TensorBoardWriter::Write(std::string_view payload) {
  if (file_ == nullptr) return;
  const std::string record = TfRecord(payload);
  if (std::fwrite(record.data(), 1, record.size(), file_) != record.size()) Fail("cannot be written");
}

void TensorBoardWriter::Fail(const char* what) {
  LogWarning(path_, ": ", what, ": ", std::strerror(errno), "; no more scalars go to TensorBoard");
  std::fclose(file_);
  file_ = nullptr;
}

}  // namespace tandem
