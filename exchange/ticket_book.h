// Which tickets are out, and who plays them.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "proto/message.pb.h"

namespace tandem {

// Holders are numbers that name a worker's session. Thread-compatible.
class TicketBook {
 public:
  enum class Verdict { kAccepted, kDuplicate, kOrphaned };

  explicit TicketBook(uint32_t incarnation) : incarnation_(incarnation) {}

  // The id that the next new ticket gets.
  uint64_t next_id() const { return next_id_; }

  // Writes a new ticket down as played by `holder`; fills in id, incarnation and attempt 0.
  proto::Ticket Issue(proto::Ticket ticket, uint64_t holder, double now);

  // A ticket whose worker was lost, with its attempt counted up, now played by `holder`; the lowest id first. Its
  // limits stay: a late first attempt must stay as good as the second.
  std::optional<proto::Ticket> Reissue(uint64_t holder);
  bool has_lost() const { return !lost_.empty(); }

  // `holder` plays nothing any more: its tickets wait to be issued again, but for those that are not `wanted`. (Should
  // one of these still arrive, it is accepted as usual.) Returns those that wait.
  std::vector<proto::Ticket> Lose(uint64_t holder, const std::function<bool(const proto::Ticket&)>& wanted);

  // A finished group. The first complete attempt wins, whichever it is; a later one is a duplicate. A ticket of another
  // incarnation, or one never issued, is orphaned. kAccepted strikes the ticket off and copies it to `ticket`, with the
  // time of its first issue in `issued_s`.
  Verdict Arrive(const proto::Ticket& claimed, proto::Ticket* ticket, double* issued_s);

  // The ticket as it was issued, when it is still out.
  std::optional<proto::Ticket> Find(uint64_t id) const;

  size_t out() const { return out_.size(); }
  size_t out(proto::Purpose purpose) const;
  bool held(proto::Purpose purpose) const;                                  // whether a worker plays one
  const std::map<uint64_t, uint32_t>& holders() const { return holders_; }  // tickets by holder

 private:
  struct Entry {
    proto::Ticket Ticket() const;

    std::string bytes;  // of the ticket: as a message it would be nine pieces of memory, which a million tickets feel
    proto::Purpose purpose;
    std::optional<uint64_t> holder;
    double issued_s;
  };

  void Hold(uint64_t holder, proto::Purpose purpose);
  void Release(uint64_t holder, proto::Purpose purpose);

  uint32_t incarnation_;
  uint64_t next_id_ = 0;
  std::map<uint64_t, Entry> out_;
  std::deque<uint64_t> lost_;  // sorted ids of those that wait for a holder
  std::map<proto::Purpose, size_t> held_;
  std::map<uint64_t, uint32_t> holders_;  // counted as they change: a million tickets are not looked through
};

}  // namespace tandem
