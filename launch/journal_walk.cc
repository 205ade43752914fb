#include "launch/journal_walk.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "trainer/checkpoint_list.h"

namespace tandem {

absl::Status JournalWalk::Walk(const std::function<void(double)>& after_each) {
  ExchangeOptions options;
  options.config = run_.loaded.config;
  options.run_name = run_.opening.run();
  options.incarnation = run_.opening.incarnation();
  options.began_s = run_.began_s;
  TANDEM_ASSIGN_OR_RETURN(options.lags, MakeLagModels(run_.loaded.config, run_.folder));
  for (const auto& [policy, from] : run_.opening.resumed()) {
    options.resume[policy] = {from.purpose(), from.step(), from.incarnation()};
  }
  exchange_ = std::make_unique<Exchange>(std::move(options), this);
  TANDEM_ASSIGN_OR_RETURN(EventReader reader, EventReader::Open(run_.journal));
  while (true) {
    TANDEM_ASSIGN_OR_RETURN(const std::optional<JournalEntry> entry, reader.Next());
    if (!entry) return CheckItReachesTheEnd();
    TANDEM_RETURN_IF_ERROR(Pass(*entry));
    after_each(static_cast<double>(entry->place) / static_cast<double>(run_.bytes));
  }
}

// Checkpoints are written of what the journal has already: one of a later version shows that its end is missing.
absl::Status JournalWalk::CheckItReachesTheEnd() const {
  for (const auto& [policy, config] : run_.loaded.config.policies()) {
    const uint32_t reached = exchange_->lane(policy).version().value_or(0);
    for (const CheckpointName& name : ListCheckpoints(run_.folder, policy)) {
      if (name.incarnation != run_.opening.incarnation() || name.sft || name.step <= reached) continue;
      return absl::DataLossError(absl::StrCat(run_.journal, ": ends at version ", reached, " of ", policy,
                                              ", but the run has its checkpoint ", name.Folder(),
                                              ": the journal was cut short"));
    }
  }
  return absl::OkStatus();
}

absl::Status JournalWalk::Pass(const JournalEntry& entry) {
  const proto::JournalEvent& event = entry.event;
  if (event.has_joined()) policies_[event.session()] = event.joined().policy();
  proto::Header header;
  if (event.has_call() && !header.ParseFromString(event.call())) {
    return absl::DataLossError(absl::StrCat(run_.journal, ", byte ", entry.place, ": a call that cannot be read"));
  }
  const std::string& policy = policies_[event.session()];
  if (header.has_step_done()) TANDEM_RETURN_IF_ERROR(OnSftStep(policy, header.step_done()));
  if (header.has_weights_commit()) TANDEM_RETURN_IF_ERROR(OnCommit(policy, header.weights_commit()));
  // Only of a group that it accepted has the exchange written down when it arrived.
  if (header.has_group() && header.group().arrived_s() > 0) {
    auto group = std::make_shared<ArrivedGroup>(ArrivedGroup{std::move(*header.mutable_group()), {}, entry.place});
    for (const std::string& frame : event.frames()) group->frames.push_back(wire::MakeFrame(frame));
    TANDEM_RETURN_IF_ERROR(OnGroup(group));
  }
  return Annotate(exchange_->Recall(event, entry.place), run_.journal);
}

GroupPtr JournalWalk::ReadBack(uint64_t place) {
  absl::StatusOr<ArrivedGroup> group = ReadGroup(run_.journal, place);
  return group.ok() ? std::make_shared<ArrivedGroup>(*std::move(group)) : nullptr;
}

void JournalWalk::Reply(wire::SessionId, uint64_t, proto::Header header, std::vector<wire::Frame> frames) {
  if (header.batch().groups().empty()) return;
  OnBatch({std::move(*header.mutable_batch()), std::move(frames)});
}

}  // namespace tandem
