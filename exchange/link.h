// The exchange as workers and trainers see it: typed calls over a wire::Client. A call that the exchange refuses is an
// error of kFailedPrecondition with its reason.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/digest.h"
#include "proto/message.pb.h"
#include "proto/wire/client.h"

namespace tandem {

// What a worker hears.
struct TicketsArrived {
  proto::TicketGrant grant;
};
struct GroupAnswered {
  std::string verdict;
};  // accepted, duplicate, orphaned
struct VersionAnnounced {
  std::string policy;
  proto::Version version;
};
struct WeightsArrived {
  std::string policy;
  proto::Version version;
  std::string bytes;
  double published_s;     // run's clock
};                        // digest checked
struct WeightsComing {};  // a chunk of them came; more will
struct RunFinished {};
using WorkerEvent =
    std::variant<TicketsArrived, GroupAnswered, VersionAnnounced, WeightsArrived, WeightsComing, RunFinished>;

// Nothing here blocks but Poll. Not thread-safe.
class WorkerLink {
 public:
  explicit WorkerLink(std::unique_ptr<wire::Client> client);
  ~WorkerLink();

  // Asks for up to `credit` tickets; one request at a time (a second one before the answer is a bug).
  void RequestTickets(uint32_t credit);
  bool tickets_requested() const;

  // May be called only while submit_credit() > 0.
  void SubmitGroup(proto::Group group, std::vector<wire::Frame> frames);
  uint32_t submit_credit() const;

  // Fetches the newest version of `policy` that is at least `least` (`in_order`: the oldest such that is kept), chunk
  // by chunk, unless a fetch of that policy is already under way. Ends in WeightsArrived.
  void FetchWeights(const std::string& policy, const proto::Version& least, bool in_order = false);

  // The policy's next weights arrive in the memory of these, which are of no use any more: of new memory the system
  // would give each page when it is first written, which takes longer than the copy.
  void Reuse(const std::string& policy, std::string bytes) { spare_[policy] = std::move(bytes); }

  void SetMetrics(proto::RolloutMetrics metrics);  // goes out with the next heartbeat

  // The next event; nullopt after timeout_s (0: does not block).
  absl::StatusOr<std::optional<WorkerEvent>> Poll(double timeout_s);

  const proto::Welcome& welcome() const;

 private:
  enum class CallKind { kTickets, kGroup, kWeights };
  struct OpenCall {
    CallKind kind;
    std::string policy;    // kWeights
    uint64_t attempt = 0;  // kWeights: of the fetch; the answer to a call of an earlier one is of no use
  };
  // One policy's weights on their way: BEGIN says what is coming, then chunks are asked for, a few at a time. They are
  // joined as they come, so that a worker that generates meanwhile does not stand still for all of them at the end.
  struct Fetch {
    proto::WeightsBegin begin;  // digest is empty until the exchange has said what it has
    uint64_t attempt = 0;
    uint32_t asked = 0, joined = 0;              // chunks
    std::map<uint32_t, wire::Frame> early = {};  // before their turn
    std::string bytes = {};
    RunningDigest digest = {};
  };

  absl::StatusOr<std::optional<WorkerEvent>> Handle(wire::Arrival arrival);
  absl::StatusOr<std::optional<WorkerEvent>> HandleWeights(const OpenCall& call, const wire::Packet& packet);
  absl::StatusOr<std::optional<WorkerEvent>> Finish(const std::string& policy);
  void AskForChunks(const std::string& policy);

  std::unique_ptr<wire::Client> client_;
  bool tickets_requested_ = false;
  uint32_t unanswered_groups_ = 0;
  std::map<uint64_t, OpenCall> calls_;
  std::map<std::string, Fetch> fetches_;      // by policy
  std::map<std::string, std::string> spare_;  // by policy
  uint64_t next_attempt_ = 0;
};

struct TrainingBatch {
  proto::Batch header;
  std::vector<wire::Frame> frames;  // kFramesPerGroup for each group
};

// Every call blocks until it is answered or its deadline is over. Not thread-safe.
class TrainerLink {
 public:
  TrainerLink(std::unique_ptr<wire::Client> client, uint32_t chunk_bytes);
  ~TrainerLink();

  // The batch of a step: the same bytes however often and by whichever rank it is asked for, also that of a step whose
  // version is published (for a trainer that goes on from a checkpoint). A rank other than 0 that has it already and
  // asks again means the step anew, since it was not taken (RejectNonFinite): it waits for rank 0 to say so.
  // publish_again in the answer to rank 0: it is no batch; Publish the version that the step starts from once more,
  // then ask again.
  absl::StatusOr<TrainingBatch> NextBatch(proto::Purpose purpose, uint32_t step);

  // Rank 0: publishes version `version` with the metrics of the step that made it. Version 0 is published once the
  // warm start is over (or at once when there is none), and on resuming the version that was resumed from. Publishing
  // the same bytes once more is fine; other bytes under the same version are refused.
  absl::Status Publish(const proto::Version& version, std::string_view weights, const proto::StepMetrics& metrics);

  // Rank 0: the step from `version` was not taken, since its loss or gradient was not finite.
  absl::Status RejectNonFinite(const proto::Version& version, const proto::StepMetrics& metrics);

  // Rank 0: a supervised step is done.
  absl::Status FinishSftStep(uint32_t step, const proto::StepMetrics& metrics);

  const proto::Welcome& welcome() const;

 private:
  absl::StatusOr<bool> TryPublish(const proto::Version& version, std::string_view weights,
                                  const proto::StepMetrics& metrics);

  std::unique_ptr<wire::Client> client_;
  uint32_t chunk_bytes_;
};

}  // namespace tandem
