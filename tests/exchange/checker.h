// What the exchange promises, checked from outside: only by what it says to its peers, with sums of its own.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/digest.h"
#include "exchange/exchange.h"
#include "proto/group.h"
#include "tests/exchange/scenario.h"
#include "tests/exchange/sightings.h"

namespace tandem {

class Checker {
 public:
  explicit Checker(const Scenario& scenario)
      : config_(scenario.config), obedient_(scenario.obedient), replays_(scenario.trainer_dies > 0) {
    for (const auto& [name, policy] : config_.policies()) books_[name];
  }

  // What was promised and not kept: the first violation, or "".
  const std::string& violation() const { return violation_; }
  void Violated(const std::string& what) {
    if (violation_.empty()) violation_ = what;
  }
  void Saw(Sight sight) { ++seen_[sight]; }

  void Granted(const proto::Ticket& ticket) {
    const auto [it, is_new] = tickets_.emplace(ticket.id(), ticket.attempt());
    if (!is_new) {
      if (ticket.attempt() <= it->second) Violated(absl::StrCat("ticket ", ticket.id(), " granted twice"));
      it->second = ticket.attempt();
      Saw(kReissued);
      return;
    }
    if (ticket.attempt() != 0) Violated(absl::StrCat("ticket ", ticket.id(), " begins with a later attempt"));
    if (ticket.purpose() != proto::TRAIN) return;
    ++groups_;
    CheckTask(ticket);
    for (const proto::TicketLimit& limit : ticket.limits()) {
      if (limit.consume_by() == std::numeric_limits<uint32_t>::max()) continue;
      Book& book = books_.at(limit.policy());
      book.counted.insert(ticket.id());
      book.issued += ticket.episodes();
    }
  }

  void Answered(const proto::Ticket& ticket, const std::string& verdict) {
    if (verdict == "orphaned") return Violated(absl::StrCat("ticket ", ticket.id(), " orphaned"));
    if (verdict == "duplicate") {
      Saw(kDuplicate);
      if (!accepted_.contains(ticket.id())) Violated(absl::StrCat("duplicate of ", ticket.id(), ", never accepted"));
      return;
    }
    if (!accepted_.insert(ticket.id()).second) return Violated(absl::StrCat("ticket ", ticket.id(), " accepted twice"));
    for (auto& [policy, book] : books_) {
      if (book.counted.contains(ticket.id())) book.arrived += ticket.episodes();
    }
  }

  // A training batch that is given to a rank.
  void Given(const proto::Batch& batch, const std::vector<wire::Frame>& frames) {
    Book& book = books_.at(batch.policy());
    if (replays_) {
      const uint64_t hash = HashOf(batch, frames);
      uint64_t& given = given_[{batch.policy(), batch.step()}];
      if (batch.step() < book.version) {  // to a trainer that goes on from a checkpoint
        Saw(kPastBatch);
        if (given != hash) Violated(absl::StrCat("another batch for a past step of ", batch.policy()));
        return;
      }
      given = hash;
    }
    std::vector<uint64_t> ids;
    for (const proto::Group& group : batch.groups()) ids.push_back(group.ticket().id());
    if (!book.in_training.empty()) {
      if (ids != book.in_training) Violated(absl::StrCat("another batch for the same step of ", batch.policy()));
      return;
    }
    const std::string name = absl::StrCat("batch from version ", batch.step(), " of ", batch.policy(), ": ");
    std::vector<Consumed>& consumed = batches_[{batch.policy(), batch.step()}];
    consumed.clear();
    if (batch.step() != book.version) Violated(absl::StrCat(name, "version ", book.version, " is published"));
    if (ids.size() != config_.train().groups_per_step()) Violated(name + "wrong number of groups");
    for (int i = 0; i < batch.groups_size(); ++i) {
      const proto::Group& group = batch.groups(i);
      if (i > 0 && ids[i] <= ids[i - 1]) Violated(name + "not in canonical order");
      if (group.episodes_size() != static_cast<int>(config_.train().group_size())) Violated(name + "a torn group");
      if (!accepted_.contains(ids[i])) Violated(name + "a group that never arrived");
      if (!book.counted.contains(ids[i])) Violated(name + "a group issued for another policy");
      if (!book.consumed.insert(ids[i]).second) Violated(absl::StrCat(name, "group ", ids[i], " again"));
      CheckAges(batch, group, *frames.at(i * kFramesPerGroup + kLossMask), name);
      consumed.push_back({ids[i], group.ticket().task(), group.ticket().seed()});
    }
    book.in_training = std::move(ids);
  }

  void Published(const std::string& policy, uint32_t number) {
    Book& book = books_.at(policy);
    if (number <= book.version && book.published) return;  // once more
    book.published = true;
    if (number != 0 && number != book.version + 1) Violated(absl::StrCat("version ", number, " of ", policy));
    book.version = number;
    book.trained += book.in_training.size() * config_.train().group_size();
    book.in_training.clear();
  }

  void NotTaken(const std::string& policy) {
    Book& book = books_.at(policy);
    book.non_finite += book.in_training.size() * config_.train().group_size();
    book.in_training.clear();
  }

  void Rejected(const proto::RejectedMetrics& line) {
    tandem::Saw(&seen_, line.reason());
    std::set<std::string> allowed = {"non_finite"};
    if (!obedient_) allowed.insert("stale");
    if (!obedient_ || OnLimitOf(line.policy()) != proto::PACE) allowed.insert("drift");
    switch (OnLimitOf(line.policy())) {
      case proto::DROP:
        allowed.insert("dropped");
        break;
      case proto::RERUN:
        allowed.insert({"rerun", "given_up"});
        break;
      case proto::MASK:
        allowed.insert("stale");  // every token is over the bound
        break;
      default:
        break;
    }
    if (!allowed.contains(line.reason())) Violated(absl::StrCat("a group was rejected: ", line.ShortDebugString()));
  }

  void OverBound(const proto::OverBoundMetrics& line) {
    books_.at(line.policy()).over_said += line.tokens_over();
    tandem::Saw(&seen_, line.action());
  }

  // After every event.
  void CheckLedgers(const Exchange& exchange) {
    for (const auto& [policy, book] : books_) {
      const Ledger& ledger = exchange.lane(policy).ledger();
      const bool exact = obedient_ && (OnLimitOf(policy) == proto::PACE || OnLimitOf(policy) == proto::ACCEPT);
      bool holds = ledger.issued() == book.issued && ledger.trained() == book.trained;
      holds &= book.issued == ledger.trained() + ledger.in_flight() + ledger.buffered() + ledger.rejected();
      holds &= ledger.rejected() >= book.non_finite;
      if (exact) holds &= ledger.rejected() == book.non_finite && ledger.in_flight() == book.issued - book.arrived;
      if (!holds) Violated(absl::StrCat("ledger of ", policy, ": ", ledger.Metrics().ShortDebugString()));
    }
  }

  void CheckEnd(const Exchange& exchange) {
    const uint64_t all =
        uint64_t{config_.train().steps()} * config_.train().groups_per_step() * config_.train().group_size();
    for (const auto& [policy, book] : books_) {
      const Ledger& ledger = exchange.lane(policy).ledger();
      if (ledger.trained() != all || ledger.in_flight() + ledger.buffered() != 0) {
        Violated(absl::StrCat("at the end, ledger of ", policy, ": ", ledger.Metrics().ShortDebugString()));
      }
      if (book.over_said != book.over) {
        Violated(absl::StrCat(book.over, " tokens of ", policy, " were over the bound, ", book.over_said, " counted"));
      }
      const Ledger& sft = exchange.warm_start().ledger(policy);
      if (sft.trained() != uint64_t{config_.sft().steps()} * config_.sft().episodes_per_step() ||
          sft.trained() != sft.issued()) {
        Violated(absl::StrCat("at the end, warm start of ", policy, ": ", sft.Metrics().ShortDebugString()));
      }
    }
  }

  // Issued for training.
  uint64_t groups() const { return groups_; }
  const Sightings& seen() const { return seen_; }
  // What every step consumed, by (policy, version it started from): ticket, task and seed of each group.
  using Consumed = std::tuple<uint64_t, uint64_t, uint64_t>;
  const std::map<std::pair<std::string, uint32_t>, std::vector<Consumed>>& batches() const { return batches_; }

 private:
  struct Book {
    uint64_t issued = 0, arrived = 0, trained = 0, non_finite = 0;
    uint64_t over = 0, over_said = 0;  // tokens over the bound in batches: seen, and counted by the exchange
    uint32_t version = 0;
    bool published = false;
    std::unordered_set<uint64_t> counted, consumed;  // tickets
    std::vector<uint64_t> in_training;
  };

  proto::OnLimit OnLimitOf(const std::string& policy) const {
    return config_.policies().at(policy).staleness().on_limit();
  }

  // A new task; or one that was given up, played once more with the same seed.
  void CheckTask(const proto::Ticket& ticket) {
    const auto [it, is_new] = task_seeds_.emplace(ticket.task(), ticket.seed());
    if (is_new != (ticket.rerun() == 0)) Violated(absl::StrCat("task ", ticket.task(), " begins as a rerun, or again"));
    if (ticket.seed() != it->second) Violated(absl::StrCat("task ", ticket.task(), " with another seed"));
  }

  // Lag injection: the staleness is the lag (in the first steps: the step's number).
  void CheckLag(const proto::Batch& batch, uint32_t number, const std::string& name) {
    const auto found = config_.lag().find(batch.policy());
    if (found == config_.lag().end()) return;
    const uint32_t staleness = batch.step() - number;
    const proto::LagConfig& lag = found->second;
    const uint32_t least = lag.has_constant() ? lag.constant() : lag.uniform(0);
    const uint32_t most = lag.has_constant() ? lag.constant() : lag.uniform(1);
    if (staleness > most || staleness < std::min(least, batch.step())) {
      Violated(absl::StrCat(name, "a token of staleness ", staleness));
    }
  }

  // Whether a partner is further from what it wrote in the episode than the policy's bound on drift.
  bool Drifted(const std::string& policy, const proto::Episode& episode) const {
    const proto::StalenessConfig& staleness = config_.policies().at(policy).staleness();
    if (!staleness.has_drift_bound()) return false;
    for (const proto::Turn& turn : episode.turns()) {
      if (turn.policy() == policy) continue;
      for (const proto::VersionRun& run : turn.version_runs()) {
        if (books_.at(turn.policy()).version > run.version().number() + staleness.drift_bound()) return true;
      }
    }
    return false;
  }

  void CheckAges(const proto::Batch& batch, const proto::Group& group, const std::string& mask,
                 const std::string& name) {
    const uint32_t bound = config_.policies().at(batch.policy()).staleness().bound();
    const proto::OnLimit on_limit = OnLimitOf(batch.policy());
    size_t token = 0;
    for (const proto::Episode& episode : group.episodes()) {
      const bool drifted = Drifted(batch.policy(), episode);
      for (const proto::Turn& turn : episode.turns()) {
        if (turn.version_runs_size() > 1) Saw(kMixed);
        for (const proto::VersionRun& run : turn.version_runs()) {
          const uint32_t number = run.version().number();
          const bool ours = turn.policy() == batch.policy();
          const bool over = ours && (batch.step() > number + bound || drifted);
          const bool masked = mask.find('\1', token) >= token + run.count();
          if (ours && number > batch.step()) Violated(absl::StrCat(name, "a token of the future"));
          if (ours) CheckLag(batch, number, name);
          if (over) books_.at(batch.policy()).over += run.count();
          if (over && !masked && on_limit != proto::ACCEPT) {
            Violated(absl::StrCat(name, "a token of version ", number,
                                  drifted ? ", whose partner has moved on" : absl::StrCat(", older than ", bound)));
          }
          if (masked && !over) Violated(absl::StrCat(name, "a token within the bound is masked"));
          if (masked && on_limit != proto::MASK) Violated(absl::StrCat(name, "a token is masked"));
          token += run.count();
        }
      }
    }
    if (token != mask.size()) Violated(name + "a mask of another size");
  }

  static uint64_t HashOf(const proto::Batch& batch, const std::vector<wire::Frame>& frames) {
    std::string bytes = batch.SerializeAsString();
    for (const wire::Frame& frame : frames) bytes += *frame;
    return StableHash(bytes);
  }

  const proto::Config config_;
  const bool obedient_;  // workers never start with an engine older than a ticket's least version
  const bool replays_;   // trainers ask for past batches
  std::string violation_;
  std::map<std::string, Book> books_;
  std::unordered_map<uint64_t, uint32_t> tickets_;     // attempts
  std::unordered_map<uint64_t, uint64_t> task_seeds_;  // tickets of the same task have the same
  std::unordered_set<uint64_t> accepted_;
  std::map<std::pair<std::string, uint32_t>, std::vector<Consumed>> batches_;
  std::map<std::pair<std::string, uint32_t>, uint64_t> given_;  // hashes
  uint64_t groups_ = 0;
  Sightings seen_ = {};
};

}  // namespace tandem
