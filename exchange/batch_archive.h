// Where the groups of batches that were trained on stand in the journal: a trainer that goes on from a checkpoint gets
// the same batches again.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "exchange/over_bound.h"
#include "proto/message.pb.h"

namespace tandem {

// A few hundred bytes for each step. Thread-compatible.
class BatchArchive {
 public:
  struct Batch {
    std::vector<uint64_t> groups;  // places in the journal, in the order of the batch
    double cut_s = 0;
    std::vector<proto::PolicyVersion> versions;  // when it was cut
    Beyond masked = {};                          // FillBatch
  };

  void Add(const std::string& policy, proto::Purpose purpose, uint32_t step, Batch batch) {
    batches_[{policy, purpose, step}] = std::move(batch);
  }
  // Null when there was no such step.
  const Batch* Find(const std::string& policy, proto::Purpose purpose, uint32_t step) const {
    const auto it = batches_.find({policy, purpose, step});
    return it == batches_.end() ? nullptr : &it->second;
  }

 private:
  std::map<std::tuple<std::string, proto::Purpose, uint32_t>, Batch> batches_;
};

}  // namespace tandem
