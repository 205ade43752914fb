#include "policy/files/read_tensors.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "base/status.h"
#include "policy/files/convert.h"

namespace tandem {
namespace {

constexpr int64_t kPiece = int64_t{1} << 20;  // numbers that one thread takes at a time
constexpr int64_t kBlock = int64_t{1} << 16;  // numbers that are read and then converted while they are in the cache

struct Piece {
  const TensorRead* read;
  int64_t first, count;  // numbers
};

std::vector<Piece> CutIntoPieces(std::span<const TensorRead> reads) {
  std::vector<Piece> pieces;
  for (const TensorRead& read : reads) {
    const int64_t size = static_cast<int64_t>(read.tensor->bytes.size()) / DtypeBytes(read.tensor->dtype);
    for (int64_t first = 0; first < size; first += kPiece) {
      pieces.push_back({&read, first, std::min(kPiece, size - first)});
    }
  }
  return pieces;
}

// `block`: room for kBlock numbers of two bytes.
absl::Status ReadPiece(const Piece& piece, std::vector<uint16_t>& block) {
  const TensorView& tensor = *piece.read->tensor;
  const int64_t bytes = DtypeBytes(tensor.dtype);
  float* out = piece.read->out + piece.first;
  if (tensor.dtype == Dtype::kF32) {  // straight to its place
    return piece.read->file->ReadBytes(tensor, static_cast<uint64_t>(piece.first * bytes),
                                       std::as_writable_bytes(std::span(out, static_cast<size_t>(piece.count))));
  }
  for (int64_t done = 0; done < piece.count; done += kBlock) {
    const int64_t count = std::min(kBlock, piece.count - done);
    const auto room = std::as_writable_bytes(std::span(block).first(static_cast<size_t>(count)));
    TANDEM_RETURN_IF_ERROR(
        piece.read->file->ReadBytes(tensor, static_cast<uint64_t>((piece.first + done) * bytes), room));
    ToFloat32(tensor.dtype, block.data(), count, out + done);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadTensors(std::span<const TensorRead> reads, int threads) {
  const std::vector<Piece> pieces = CutIntoPieces(reads);
  const auto workers = static_cast<size_t>(std::clamp<int64_t>(threads, 1, static_cast<int64_t>(pieces.size()) + 1));
  std::atomic<size_t> next = 0;
  std::vector<absl::Status> outcomes(workers);
  const auto work = [&](absl::Status& outcome) {
    std::vector<uint16_t> block(kBlock);
    for (size_t i; outcome.ok() && (i = next.fetch_add(1)) < pieces.size();) outcome = ReadPiece(pieces[i], block);
  };
  std::vector<std::thread> others;
  for (size_t i = 1; i < workers; ++i) others.emplace_back(work, std::ref(outcomes[i]));
  work(outcomes[0]);
  for (std::thread& other : others) other.join();
  for (const absl::Status& outcome : outcomes) TANDEM_RETURN_IF_ERROR(outcome);
  return absl::OkStatus();
}

int ReadingThreads() { return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, 8); }

void AdviseHugePages(std::span<float> memory) {
  constexpr uintptr_t kHuge = uintptr_t{2} << 20;
  const auto begin = (reinterpret_cast<uintptr_t>(memory.data()) + kHuge - 1) / kHuge * kHuge;
  const auto end = reinterpret_cast<uintptr_t>(memory.data() + memory.size()) / kHuge * kHuge;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
}

}  // namespace tandem
