// Exchange: what it writes down, and going on from it.
#include "exchange/exchange.h"

namespace tandem {

// Everything that is answered or counted goes through here first. What only asks (weights, heartbeats) does not.
uint64_t Exchange::Note(const proto::JournalEvent& event) {
  return recalled_place_ ? *recalled_place_ : outlet_->Journal(event);
}

uint64_t Exchange::NoteCall(double now, const Address& from, const proto::Header& header,
                            const std::vector<wire::Frame>& frames) {
  if (recalled_place_) return *recalled_place_;
  proto::JournalEvent event;
  event.set_now_s(now);
  event.set_session(from.session);
  event.set_call_number(from.call);
  header.SerializeToString(event.mutable_call());
  for (const wire::Frame& frame : frames) event.add_frames(*frame);
  return outlet_->Journal(event);
}

absl::Status Exchange::Recall(const proto::JournalEvent& event, uint64_t place) {
  const double now = event.now_s();
  recalled_place_ = place;
  switch (event.what_case()) {
    case proto::JournalEvent::kJoined:
      Joined(now, event.session(), event.joined());
      break;
    case proto::JournalEvent::kLost:
      Lost(now, event.session(), event.lost());
      break;
    case proto::JournalEvent::kLeft:
      Left(now, event.session());
      break;
    case proto::JournalEvent::kCall: {
      wire::Packet packet;
      if (!packet.header.ParseFromString(event.call())) return absl::DataLossError("a call that cannot be read");
      for (const std::string& frame : event.frames()) packet.frames.push_back(wire::MakeFrame(frame));
      Call(now, event.session(), event.call_number(), std::move(packet));
      break;
    }
    case proto::JournalEvent::kStop:
      Stop(now);
      break;
    case proto::JournalEvent::kRecovered:
      Recovered(now);
      break;
    default:
      return absl::DataLossError(absl::StrCat("an event of kind ", event.what_case()));
  }
  recalled_place_.reset();
  return absl::OkStatus();
}

void Exchange::Recovered(double now) {
  proto::JournalEvent event;
  event.set_now_s(now);
  event.set_recovered(true);
  Note(event);
  for (auto& [policy, lane] : lanes_) {
    if (!lane.version()) continue;
    proto::Version version;
    version.set_incarnation(options_.incarnation);
    version.set_number(*lane.version());
    const bool kept = lane.complete() && lane.store().Restore(version, outlet_->KeptWeights(policy), now);
    if (!kept) lost_weights_.insert(policy);
  }
  Settle(now);
}

}  // namespace tandem
