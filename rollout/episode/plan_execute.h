// The program of a planner and an executor.
#pragma once

#include "rollout/episode/episode.h"

namespace tandem {

// The planner writes a plan; each of its nodes is carried out by the executor as soon as it stands and its inputs are
// there, also while the planner is still writing; the result of the last node is the answer.
//
// A malformed plan is a fault ("syntax", "unknown_reference", ...) of the planner's turn and of the episode, reward 0:
// the executor's running turns are cancelled at once, and all its turns are masked. The planner writes on to its end,
// since it is trained on what it wrote. An executor's turn that is not a result is a fault ("bad_result") of that turn
// and of the episode, reward 0: nodes that need it are not carried out, all others are. So which turns an episode has,
// but for masked ones, does not depend on what was faster.
//
// A remote model that does not answer is a fault of its turn and of the episode, of the kind that RemoteReply names.
// The team had no part in it: all turns of the episode are masked.
//
// Measures (of what is not masked): success, plan_valid, plan_right, steps_executed, steps_right, tokens.planner,
// tokens.executor.
Program<Outcome> PlanExecute(Episode& episode);

}  // namespace tandem
