// What it cost to write a run's journal: its events are written once more, from the messages that the exchange had.
//   journal_cost JOURNAL [CPU seconds of the run [rounds]]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/status.h"
#include "exchange/journal.h"
#include "launch/allocator.h"
#include "tests/bench/cpu_time.h"

namespace tandem {
namespace {

struct Noted {
  proto::JournalEvent event;  // without call and frames
  proto::Header call;
  std::vector<wire::Frame> frames;
};

std::vector<Noted> ReadAll(const std::string& path) {
  absl::StatusOr<EventReader> reader = EventReader::Open(path);
  TANDEM_CHECK(reader.ok());
  std::vector<Noted> all;
  while (true) {
    auto entry = reader->Next();
    TANDEM_CHECK(entry.ok());
    if (!*entry) return all;
    Noted noted{std::move((*entry)->event), {}, {}};
    if (noted.event.has_call()) {
      noted.call.ParseFromString(noted.event.call());
      noted.event.clear_call();
    }
    for (std::string& frame : *noted.event.mutable_frames()) noted.frames.push_back(wire::MakeFrame(std::move(frame)));
    noted.event.clear_frames();
    all.push_back(std::move(noted));
  }
}

// As Exchange::NoteCall does.
double WriteAll(const std::vector<Noted>& all, const std::string& path) {
  const double start = CpuTime();
  absl::StatusOr<EventWriter> writer = EventWriter::Open(path);
  TANDEM_CHECK(writer.ok());
  for (const Noted& noted : all) {
    proto::JournalEvent event = noted.event;
    if (event.what_case() == proto::JournalEvent::WHAT_NOT_SET) noted.call.SerializeToString(event.mutable_call());
    for (const wire::Frame& frame : noted.frames) event.add_frames(*frame);
    TANDEM_CHECK(writer->Append(event).ok());
  }
  return CpuTime() - start;
}

void Main(const std::string& path, double run_s, int rounds) {
  const std::vector<Noted> all = ReadAll(path);
  const std::string copy = path + ".copy";
  std::vector<double> seconds;
  uintmax_t bytes = 0;
  for (int round = 0; round < rounds; ++round) {
    std::filesystem::remove(copy);
    seconds.push_back(WriteAll(all, copy));
    bytes = std::filesystem::file_size(copy);
  }
  std::filesystem::remove(copy);
  std::printf("%zu events, %.1f MB: %.3f s of CPU (median of %d, %.3f .. %.3f)\n", all.size(),
              static_cast<double>(bytes) * 1e-6, Median(seconds), rounds, *std::ranges::min_element(seconds),
              *std::ranges::max_element(seconds));
  if (run_s > 0) std::printf("%.2f %% of the run's %.0f s of CPU\n", 100 * Median(seconds) / run_s, run_s);
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  tandem::KeepFreedMemory();
  if (argc < 2) return 2;
  tandem::Main(argv[1], argc > 2 ? std::atof(argv[2]) : 0, argc > 3 ? std::atoi(argv[3]) : 5);
  return 0;
}
