#include "exchange/weight_store.h"

#include "base/digest.h"
#include "base/status.h"

namespace tandem {
namespace {

std::string JoinedDigest(const std::vector<wire::Frame>& chunks, uint64_t bytes) {
  if (chunks.size() == 1) return Digest(*chunks[0]);
  std::string joined;
  joined.reserve(bytes);
  for (const wire::Frame& chunk : chunks) joined += *chunk;
  return Digest(joined);
}

}  // namespace

std::string WeightStore::Name(const proto::Version& version) const {
  return absl::StrCat("version ", version.incarnation(), ".", version.number(), " of ", policy_);
}

absl::Status WeightStore::Begin(const proto::WeightsBegin& begin) {
  staged_.reset();
  const std::string name = Name(begin.version());
  if (begin.bytes() == 0 || begin.chunks() == 0 || begin.chunks() > begin.bytes()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": ", begin.bytes(), " bytes in ", begin.chunks(), " chunks cannot be"));
  }
  const Key key = VersionKey(begin.version());
  const auto known = digests_.find(key);
  if (known != digests_.end() && known->second != begin.digest()) {
    return absl::FailedPreconditionError(absl::StrCat(name, " exists with digest ", known->second,
                                                      "; other bytes (digest ", begin.digest(),
                                                      ") under the same version are refused"));
  }
  if (known == digests_.end() && !digests_.empty() && key <= digests_.rbegin()->first) {
    const auto [incarnation, number] = digests_.rbegin()->first;
    return absl::FailedPreconditionError(absl::StrCat(name, " is not newer than version ", incarnation, ".", number,
                                                      " of ", policy_, ", which is published"));
  }
  staged_ = Staged{{begin.version(), begin.bytes(), begin.digest(), {}}, begin.chunks()};
  return absl::OkStatus();
}

absl::Status WeightStore::Chunk(const proto::WeightsChunk& chunk, const wire::Frame& data) {
  const std::string name = absl::StrCat("chunk ", chunk.index(), " of ", Name(chunk.version()));
  if (!Stages(chunk.version())) {
    return absl::InvalidArgumentError(absl::StrCat(name, " was not announced by a BEGIN"));
  }
  const size_t expected = staged_->weights.chunks.size();
  if (chunk.index() != expected || chunk.index() >= staged_->expected_chunks) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": chunk ", expected, " of ", staged_->expected_chunks, " was expected"));
  }
  if (chunk.offset() != staged_->received || data->empty() ||
      data->size() > staged_->weights.bytes - staged_->received) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", data->size(), " bytes at offset ", chunk.offset(),
                                                   ", when ", staged_->received, " of ", staged_->weights.bytes,
                                                   " bytes are there"));
  }
  staged_->received += data->size();
  staged_->weights.chunks.push_back(data);
  return absl::OkStatus();
}

absl::Status WeightStore::Commit(const proto::WeightsCommit& commit, double now) {
  const std::string name = Name(commit.version());
  if (!Stages(commit.version())) {
    return absl::InvalidArgumentError(absl::StrCat("COMMIT of ", name, " without its BEGIN"));
  }
  Staged staged = *std::move(staged_);
  staged_.reset();
  StoredWeights& weights = staged.weights;
  if (staged.received != weights.bytes || weights.chunks.size() != staged.expected_chunks) {
    return absl::InvalidArgumentError(absl::StrCat("COMMIT of ", name, " after ", staged.received, " of ",
                                                   weights.bytes, " bytes in ", weights.chunks.size(), " of ",
                                                   staged.expected_chunks, " chunks"));
  }
  const std::string digest = JoinedDigest(weights.chunks, weights.bytes);
  if (digest != weights.digest || digest != commit.digest()) {
    return absl::DataLossError(absl::StrCat(name, " has digest ", digest, "; ", weights.digest, " was announced"));
  }
  digests_.emplace(VersionKey(weights.version), digest);
  const bool repeated = !stored_.empty() && VersionKey(weights.version) <= VersionKey(stored_.back().version);
  if (repeated) return absl::OkStatus();
  weights.published_s = now;
  stored_.push_back(std::move(weights));
  while (stored_.size() > keep_) stored_.pop_front();
  return absl::OkStatus();
}

bool WeightStore::Stages(const proto::Version& version) const {
  return staged_ && VersionKey(staged_->weights.version) == VersionKey(version);
}

void WeightStore::Recall(const proto::Version& version, const std::string& digest) {
  digests_.emplace(VersionKey(version), digest);
}

bool WeightStore::Restore(const proto::Version& version, std::vector<wire::Frame> chunks, double now) {
  uint64_t bytes = 0;
  for (const wire::Frame& chunk : chunks) bytes += chunk->size();
  if (chunks.empty() || digests_.empty() || digests_.rbegin()->first != VersionKey(version)) return false;
  const std::string digest = JoinedDigest(chunks, bytes);
  if (digest != digests_.rbegin()->second) return false;
  stored_.push_back({version, bytes, digest, std::move(chunks), now});
  return true;
}

const StoredWeights* WeightStore::Find(const proto::Version& version) const {
  for (const StoredWeights& weights : stored_) {
    if (VersionKey(weights.version) == VersionKey(version)) return &weights;
  }
  return nullptr;
}

const StoredWeights* WeightStore::OldestFrom(const proto::Version& least) const {
  for (const StoredWeights& weights : stored_) {
    if (VersionKey(weights.version) >= VersionKey(least)) return &weights;
  }
  return nullptr;
}

}  // namespace tandem
