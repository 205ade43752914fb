// Who plays which role.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/status.h"
#include "policy/language.h"
#include "rollout/episode/player.h"

namespace tandem {

inline constexpr std::string_view kPlannerRole = "planner";
inline constexpr std::string_view kExecutorRole = "executor";

struct Seat {
  Seat(std::string_view role, std::string policy, const Language* language, Player* player, int32_t max_new_tokens)
      : role(role),
        policy(std::move(policy)),
        role_hash(StableHash(role)),
        language(language),
        player(player),
        max_new_tokens(max_new_tokens) {}

  std::string role;
  std::string
      policy;  // whose turns these are; a script plays for the policy that learns from it. Of a remote model: ""
  uint64_t role_hash;
  const Language* language;  // of the policy; not owned, as the player
  Player* player;
  int32_t max_new_tokens;  // most tokens of a turn
};

// The seats in the order in which an episode's turns are recorded.
struct Team {
  std::vector<Seat> seats;

  const Seat& seat(std::string_view role) const {
    for (const Seat& seat : seats) {
      if (seat.role == role) return seat;
    }
    TANDEM_CHECK(!"a role that nobody plays");
    std::abort();
  }
};

}  // namespace tandem
