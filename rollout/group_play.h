// Plays the episodes of one ticket.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "proto/group.h"
#include "rollout/cast.h"

namespace tandem {

struct PlayedGroup {
  proto::Group group;  // format, ticket and episodes
  std::vector<wire::Frame> frames;
};

// Stays where it is; not to be destroyed from within an engine's callback. Destroying it cancels its turns.
class GroupPlay {
 public:
  // Begins all episodes; they go on inside of cast.Step(). `cast` outlives the play. kFailedPrecondition: an engine is
  // older than the ticket's least version, or there is no such task.
  // `readers`: which versions play, whatever the ticket says.
  static absl::StatusOr<std::unique_ptr<GroupPlay>> Start(const Cast& cast, proto::Ticket ticket,
                                                          ReadersOf readers = {});

  bool done() const { return unfinished_ == 0; }
  const proto::Ticket& ticket() const { return ticket_; }

  // The group, once it is done. Once. An error of an episode (a prompt that does not fit its policy's context) names
  // ticket and role.
  absl::StatusOr<PlayedGroup> Finish();

 private:
  GroupPlay(proto::Ticket ticket, Task task);

  proto::Ticket ticket_;
  const Task task_;
  int unfinished_ = 0;
  std::vector<std::unique_ptr<Episode>> episodes_;
};

}  // namespace tandem
