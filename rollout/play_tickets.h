// Plays tickets without an exchange.
#pragma once

#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "rollout/cast.h"
#include "rollout/group_play.h"

namespace tandem {

// Plays `tickets`, up to `in_play` >= 1 of them at the same time, with the weights that the cast's engines have. Groups
// come to `on_group` in the tickets' order, as they are finished; an error of it ends the playing. How many are in play
// changes no group but for its times and for masked turns. kFailedPrecondition: an engine without weights, or older
// than a ticket asks for.
absl::Status PlayTickets(Cast& cast, const std::vector<proto::Ticket>& tickets, size_t in_play,
                         const std::function<absl::Status(PlayedGroup)>& on_group);

// The groups of `tickets`, in their order.
absl::StatusOr<std::vector<PlayedGroup>> PlayTickets(Cast& cast, const std::vector<proto::Ticket>& tickets,
                                                     size_t in_play = 32);

}  // namespace tandem
