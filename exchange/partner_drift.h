// How far partners have moved on: the drift of a turn of policy p with respect to policy q is q's version when p's
// trainer takes the turn, minus the oldest version of q that wrote anything in that episode.
//
// A bound D on p's drift (policies.p.staleness.drift_bound) is checked when a batch is cut, on the version runs alone.
// Under pace the check finds nothing:
// - For p a group is due by step (oldest version of q in it) + D too, not only by (oldest version of p) + bound; the
//   gate and the batcher see to it that p takes it by then (gate.h). When p takes its step c, whatever is left to it is
//   due later than c.
// - So q may go from c to c + 1 as long as p has cut its batch for the step from c, or cuts it now; before that, it
//   waits with its own batch if p still has a group from which it would be further away than D (Exchange::WaitsFor).
//   When both wait for each other so, they are at the same c, and both cut their batches at once.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "exchange/arrived_group.h"
#include "proto/message.pb.h"

namespace tandem {

// By partner: the oldest version of it that wrote in an episode; the least and the most of that over the episodes of a
// group in which `policy` wrote.
using Partners = std::map<std::string, WrittenBy>;
Partners PartnersOf(const proto::Group& group, const std::string& policy, uint32_t incarnation);
// Of a group that is still to be played with this ticket: nothing older will write in it.
Partners PartnersOf(const proto::Ticket& ticket, const std::string& policy);

// Lowers `oldest` to the oldest version of `partner` among them, if there is one.
void TakeOldest(const Partners& partners, const std::string& partner, std::optional<int64_t>* oldest);

// The largest drift of the episode's turns of `policy`, when its partners are at the versions `now`; 0 without
// partners.
int64_t DriftOf(const proto::Episode& episode, const std::string& policy, uint32_t incarnation,
                const std::vector<proto::PolicyVersion>& now);

// The newest version of `policy` among `versions`; -1: there is none.
int64_t NumberOf(const std::vector<proto::PolicyVersion>& versions, const std::string& policy);

}  // namespace tandem
