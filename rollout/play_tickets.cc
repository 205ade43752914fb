#include "rollout/play_tickets.h"

#include <deque>
#include <memory>
#include <utility>

#include "base/status.h"

namespace tandem {

absl::Status PlayTickets(Cast& cast, const std::vector<proto::Ticket>& tickets, size_t in_play,
                         const std::function<absl::Status(PlayedGroup)>& on_group) {
  TANDEM_CHECK(in_play >= 1);
  std::deque<std::unique_ptr<GroupPlay>> playing;
  size_t next = 0;
  while (next < tickets.size() || !playing.empty()) {
    while (next < tickets.size() && playing.size() < in_play) {
      TANDEM_ASSIGN_OR_RETURN(std::unique_ptr<GroupPlay> play, GroupPlay::Start(cast, tickets[next++]));
      playing.push_back(std::move(play));
    }
    while (!playing.empty() && playing.front()->done()) {
      TANDEM_ASSIGN_OR_RETURN(PlayedGroup group, playing.front()->Finish());
      playing.pop_front();
      TANDEM_RETURN_IF_ERROR(on_group(std::move(group)));
    }
    const int64_t tokens = cast.Step();
    TANDEM_RETURN_IF_ERROR(cast.RemoteStatus());
    if (tokens == 0) cast.WaitForRemote(/*timeout_s=*/1);
    TANDEM_CHECK(tokens > 0 || playing.empty() || cast.live() + cast.asked() > 0 || playing.front()->done());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<PlayedGroup>> PlayTickets(Cast& cast, const std::vector<proto::Ticket>& tickets,
                                                     size_t in_play) {
  std::vector<PlayedGroup> groups;
  groups.reserve(tickets.size());
  TANDEM_RETURN_IF_ERROR(PlayTickets(cast, tickets, in_play, [&](PlayedGroup group) {
    groups.push_back(std::move(group));
    return absl::OkStatus();
  }));
  return groups;
}

}  // namespace tandem
