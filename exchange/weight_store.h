// The versions of one policy's weights: bytes, not tensors.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "proto/message.pb.h"
#include "proto/wire/packet.h"

namespace tandem {

struct StoredWeights {
  proto::Version version;
  uint64_t bytes = 0;
  std::string digest;
  std::vector<wire::Frame> chunks;
  double published_s = 0;  // run's clock
};

// Weights come as BEGIN, CHUNK..., COMMIT and become visible whole, with the digest checked, or not at all. A version
// names one set of bytes for ever: other bytes under a version that exists, or existed, are refused. Repeating a
// publication word for word is fine. Thread-compatible.
class WeightStore {
 public:
  // The newest `keep` versions stay readable.
  explicit WeightStore(std::string policy, size_t keep = 4) : policy_(std::move(policy)), keep_(keep) {}

  // Opens the second buffer; a publication that was under way is forgotten. kInvalidArgument: sizes that cannot be;
  // kFailedPrecondition: the version is not newer than the newest, or exists with another digest.
  absl::Status Begin(const proto::WeightsBegin& begin);

  // The next chunk. kInvalidArgument: not this publication's, out of order, or sizes that do not add up.
  absl::Status Chunk(const proto::WeightsChunk& chunk, const wire::Frame& data);

  // Whether a publication of this version is under way.
  bool Stages(const proto::Version& version) const;

  // Makes the staged version the newest. kInvalidArgument: incomplete; kDataLoss: the digest does not fit, and what was
  // staged is forgotten.
  absl::Status Commit(const proto::WeightsCommit& commit, double now = 0);

  // A version that was published to an exchange that died: its name is taken, its bytes may be published once more.
  void Recall(const proto::Version& version, const std::string& digest);
  // Its bytes, from elsewhere. False: they have another digest, or the version is not the newest.
  bool Restore(const proto::Version& version, std::vector<wire::Frame> chunks, double now);

  // Null before the first commit.
  const StoredWeights* newest() const { return stored_.empty() ? nullptr : &stored_.back(); }
  // Null when that version is not kept (any more).
  const StoredWeights* Find(const proto::Version& version) const;
  // The oldest version kept that is not older than `least`; null when there is none.
  const StoredWeights* OldestFrom(const proto::Version& least) const;

 private:
  using Key = std::pair<uint32_t, uint32_t>;  // incarnation, number
  struct Staged {
    StoredWeights weights;
    uint32_t expected_chunks;
    uint64_t received = 0;
  };

  std::string Name(const proto::Version& version) const;  // "version 0.7 of planner"

  std::string policy_;
  size_t keep_;
  std::optional<Staged> staged_;
  std::deque<StoredWeights> stored_;    // oldest first
  std::map<Key, std::string> digests_;  // of every version ever committed
};

// (incarnation, number), in the order in which versions appear.
inline std::pair<uint32_t, uint32_t> VersionKey(const proto::Version& v) { return {v.incarnation(), v.number()}; }

}  // namespace tandem
