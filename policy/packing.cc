#include "policy/packing.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "base/status.h"

namespace tandem {
namespace {

at::Tensor ToDevice(const std::vector<int64_t>& values, at::Device device) {
  return at::tensor(values, at::kLong).to(device);
}

// Where each token may be a target: not at the start of a sequence.
std::vector<int64_t> CheckAndFindStarts(const PackedSequences& s, const ModelConfig& config) {
  std::vector<int64_t> starts = {0};
  for (const int32_t length : s.lengths) {
    TANDEM_CHECK(length >= 1 && length <= config.context);
    starts.push_back(starts.back() + length);
  }
  TANDEM_CHECK(starts.back() == static_cast<int64_t>(s.ids.size()));
  for (const int32_t id : s.ids) TANDEM_CHECK(id >= 0 && id < config.vocabulary);
  return starts;
}

// The padded view of a chunk: [sequences, longest], and back.
void AddPadding(Chunk& chunk, at::Device device) {
  std::vector<int64_t> positions, unpad;
  std::vector<int64_t> pad(chunk.lengths.size() * static_cast<size_t>(chunk.longest), 0);
  int64_t token = 0;
  for (size_t sequence = 0; sequence < chunk.lengths.size(); ++sequence) {
    for (int64_t position = 0; position < chunk.lengths[sequence]; ++position, ++token) {
      const int64_t place = static_cast<int64_t>(sequence) * chunk.longest + position;
      positions.push_back(position);
      unpad.push_back(place);
      pad[static_cast<size_t>(place)] = token;
    }
  }
  chunk.positions = ToDevice(positions, device);
  chunk.unpad = ToDevice(unpad, device);
  chunk.pad = ToDevice(pad, device);
}

}  // namespace

PackedLayout LayOut(const PackedSequences& s, const ModelConfig& config, int64_t tokens_per_chunk, bool padded,
                    at::Device device) {
  const std::vector<int64_t> starts = CheckAndFindStarts(s, config);
  std::vector<int64_t> sorted(s.targets.size());
  std::iota(sorted.begin(), sorted.end(), 0);
  const auto before = [&](int64_t a, int64_t b) { return s.targets[a] < s.targets[b]; };
  PackedLayout layout;
  if (!std::is_sorted(s.targets.begin(), s.targets.end())) {
    std::stable_sort(sorted.begin(), sorted.end(), before);
    std::vector<int64_t> order(sorted.size());
    for (size_t i = 0; i < sorted.size(); ++i) order[sorted[i]] = static_cast<int64_t>(i);
    layout.order = ToDevice(order, device);
  }
  size_t target = 0, sequence = 0;
  while (sequence < s.lengths.size()) {
    Chunk chunk;
    const int64_t begin = starts[sequence];
    std::vector<int64_t> rows, target_ids;
    for (; sequence < s.lengths.size(); ++sequence) {
      const int64_t first = starts[sequence], end = starts[sequence + 1];
      if (tokens_per_chunk > 0 && chunk.tokens > 0 && chunk.tokens + (end - first) > tokens_per_chunk) break;
      chunk.lengths.push_back(s.lengths[sequence]);
      chunk.tokens += end - first;
      chunk.longest = std::max(chunk.longest, end - first);
      for (; target < sorted.size() && s.targets[sorted[target]] < end; ++target) {
        const int64_t token = s.targets[sorted[target]];
        TANDEM_CHECK(token > first);
        rows.push_back(token - 1 - begin);
        target_ids.push_back(s.ids[token]);
      }
    }
    const std::vector<int64_t> ids(s.ids.begin() + begin, s.ids.begin() + begin + chunk.tokens);
    chunk.ids = ToDevice(ids, device);
    chunk.rows = ToDevice(rows, device);
    chunk.target_ids = ToDevice(target_ids, device);
    if (padded) AddPadding(chunk, device);
    if (!rows.empty()) layout.chunks.push_back(std::move(chunk));  // without a target there is nothing to compute
  }
  TANDEM_CHECK(target == sorted.size());
  return layout;
}

}  // namespace tandem
