// What one turn costs the exchange's state machine, without sockets and files, when there are few live tickets and when
// there are many. Prints CPU time a turn for each number, medians of the rounds, and the ratio to the first.
//   exchange_tickets [rounds [fewest tickets [most tickets [groups a step [episodes a group]]]]]
// The tickets are held by 1,000 sessions. There are more of them because the bound is larger, at 1,000 groups of 16
// episodes a step, or as many as are asked for; 0: because steps are, of a quarter as many groups as there are tickets.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>

#include "base/digest.h"
#include "base/random.h"
#include "base/status.h"
#include "exchange/exchange.h"
#include "launch/allocator.h"
#include "tests/bench/cpu_time.h"
#include "tests/bench/process_usage.h"
#include "tests/bench/synthetic_group.h"

namespace tandem {
namespace {

constexpr uint64_t kSessions = 1000;
constexpr size_t kLeastTurns = 100'000;  // of a round
constexpr size_t kAtOnce = 64;           // groups that are made up, and then taken in
constexpr double kGroupsASecond = 5000;  // of the run's clock: 20,000 turns
const std::map<std::string, wire::SessionId> kTrainers = {{"executor", 5001}, {"planner", 5002}};

// Keeps what the exchange says.
class Ear final : public Outlet {
 public:
  uint64_t Journal(const proto::JournalEvent&) override { return 0; }
  GroupPtr ReadBack(uint64_t) override { return nullptr; }
  void KeepWeights(const std::string&, const std::vector<wire::Frame>&) override {}
  std::vector<wire::Frame> KeptWeights(const std::string&) override { return {}; }
  void Reply(wire::SessionId session, uint64_t, proto::Header header, std::vector<wire::Frame>) override {
    TANDEM_CHECK(!header.has_refusal());
    if (header.has_batch()) batches.push_back(header.batch().policy());
    for (const proto::Ticket& ticket : header.ticket_grant().tickets()) {
      tickets.push_back({session, ticket.SerializeAsString()});
    }
  }
  void Missing(wire::SessionId, uint64_t, const std::string&) override {}
  void Announce(const proto::Announcement&) override {}
  void Metrics(std::string_view, const google::protobuf::Message&, double) override {}
  void Sample(const proto::Group&, uint32_t, double) override {}
  void Inform(const std::string&) override {}
  void Warn(const std::string&) override {}

  struct Held {
    wire::SessionId session;
    std::string ticket;  // as bytes: this program's memory must not get into the exchange's way
  };
  std::deque<Held> tickets;
  std::deque<std::string> batches;  // policies that have got one
};

class Run {
 public:
  Run(size_t tickets, size_t groups_per_step, const GroupShape& shape)
      : shape_(shape),
        tickets_(tickets),
        groups_per_step_(groups_per_step > 0 ? groups_per_step : std::max<size_t>(1, tickets / 4)) {
    ExchangeOptions options;
    for (const auto& [policy, session] : kTrainers) {
      auto* staleness = (*options.config.mutable_policies())[policy].mutable_staleness();
      // More than is needed by half, so that the gate never keeps sessions waiting.
      staleness->set_bound(static_cast<uint32_t>(1 + tickets * 3 / 2 / groups_per_step_));
    }
    options.config.mutable_sft()->set_steps(0);
    options.config.mutable_train()->set_steps(1u << 30);
    options.config.mutable_train()->set_groups_per_step(static_cast<uint32_t>(groups_per_step_));
    options.config.mutable_train()->set_group_size(shape_.episodes);
    options.config.mutable_evaluation()->set_episodes(0);
    exchange_.emplace(std::move(options), &ear_);
    for (const auto& [policy, session] : kTrainers) {
      proto::Hello hello;
      hello.set_kind(proto::TRAINER);
      hello.set_name("trainer-" + policy);
      hello.set_policy(policy);
      exchange_->Joined(0, session, hello);
      Publish(policy);
    }
    for (wire::SessionId session = 0; session < kSessions; ++session) {
      proto::Hello hello;
      hello.set_name(absl::StrCat("worker-", session));
      exchange_->Joined(0, session, hello);
      const size_t share = tickets * (session + 1) / kSessions - tickets * session / kSessions;
      if (share > 0) AskForTickets(session, static_cast<uint32_t>(share));
    }
    TANDEM_CHECK(ear_.tickets.size() == tickets);
    PlayAtLeast(2 * groups_per_step_);
  }

  size_t groups_per_step() const { return groups_per_step_; }

  // CPU time a turn, over whole steps.
  double Measure() {
    const size_t steps = kLeastTurns / (groups_per_step_ * shape_.turns_of_group()) + 1;
    return PlayAtLeast(steps * groups_per_step_) / static_cast<double>(shape_.turns_of_group());
  }

 private:
  // CPU time a group.
  double PlayAtLeast(size_t groups) {
    double seconds = 0;
    for (size_t done = 0; done < groups; done += kAtOnce) seconds += PlaySome();
    return seconds / static_cast<double>((groups + kAtOnce - 1) / kAtOnce * kAtOnce);
  }

  // Groups end nearly in the order in which they began, each in one of the oldest places.
  double PlaySome() {
    std::vector<std::pair<wire::SessionId, wire::Packet>> ended;
    for (size_t i = 0; i < std::min(kAtOnce, tickets_); ++i) {
      std::swap(ear_.tickets.front(), ear_.tickets[random_.Below(ear_.tickets.size() / 32 + 1)]);
      const Ear::Held held = std::move(ear_.tickets.front());
      ear_.tickets.pop_front();
      proto::Ticket ticket;
      TANDEM_CHECK(ticket.ParseFromString(held.ticket));
      wire::Packet packet;
      *packet.header.mutable_group() = group_.For(ticket, LeastOf(ticket));
      packet.frames = group_.frames();
      ended.emplace_back(held.session, std::move(packet));
    }
    const double start = CpuTime();
    for (const auto& [session, packet] : ended) {
      exchange_->Call(now_s_, session, ++calls_, packet);
      AskForTickets(session, 1);
      while (!ear_.batches.empty()) {
        const std::string policy = std::move(ear_.batches.front());
        ear_.batches.pop_front();
        Publish(policy);
      }
      now_s_ += 1 / kGroupsASecond;
      if (now_s_ < next_tick_s_) continue;
      next_tick_s_ = now_s_ + 1;
      exchange_->Tick(now_s_);
    }
    const double passed = CpuTime() - start;
    TANDEM_CHECK(ear_.tickets.size() == tickets_);
    return passed * static_cast<double>(kAtOnce) / static_cast<double>(ended.size());
  }

  static std::map<std::string, proto::Version> LeastOf(const proto::Ticket& ticket) {
    std::map<std::string, proto::Version> least;
    for (const proto::TicketLimit& limit : ticket.limits()) least[limit.policy()] = limit.least();
    return least;
  }

  void AskForTickets(wire::SessionId session, uint32_t credit) {
    wire::Packet packet;
    packet.header.mutable_ticket_request()->set_credit(credit);
    exchange_->Call(now_s_, session, ++calls_, packet);
  }

  // The next version of a policy; then its trainer asks for a batch.
  void Publish(const std::string& policy) {
    const wire::SessionId session = kTrainers.at(policy);
    const uint32_t number = published_[policy]++;
    static const wire::Frame weights = wire::MakeFrame("weights");
    proto::Version version;
    version.set_number(number);
    wire::Packet begin, chunk, commit, next;
    *begin.header.mutable_weights_begin()->mutable_version() = version;
    begin.header.mutable_weights_begin()->set_bytes(weights->size());
    begin.header.mutable_weights_begin()->set_chunks(1);
    begin.header.mutable_weights_begin()->set_digest(Digest(*weights));
    *chunk.header.mutable_weights_chunk()->mutable_version() = version;
    chunk.frames = {weights};
    *commit.header.mutable_weights_commit()->mutable_version() = version;
    commit.header.mutable_weights_commit()->set_digest(Digest(*weights));
    next.header.mutable_batch_request()->set_step(number);
    for (const wire::Packet* packet : {&begin, &chunk, &commit, &next}) {
      exchange_->Call(now_s_, session, ++calls_, *packet);
    }
  }

  GroupShape shape_;
  size_t tickets_;
  size_t groups_per_step_;
  Ear ear_;
  std::optional<Exchange> exchange_;
  SyntheticGroup group_{shape_};
  RandomStream random_{1};
  std::map<std::string, uint32_t> published_;
  double now_s_ = 0, next_tick_s_ = 0;
  uint64_t calls_ = 0;
};

void Main(int rounds, size_t fewest, size_t most, size_t groups_per_step, const GroupShape& shape) {
  std::printf("a group is %u episodes of %u turns; medians of %d rounds\n", shape.episodes, shape.turns, rounds);
  double first = 0;
  for (size_t tickets = fewest; tickets <= most; tickets *= 10) {
    Run run(tickets, groups_per_step, shape);
    std::vector<double> seconds;
    for (int round = 0; round < rounds; ++round) seconds.push_back(run.Measure());
    const double us = 1e6 * Median(seconds);
    if (first == 0) first = us;
    std::printf("%8zu live tickets, %6zu groups a step: %6.2f us a turn (%.2f .. %.2f), %5.2f times, %6.0f MB\n",
                tickets, run.groups_per_step(), us, 1e6 * *std::ranges::min_element(seconds),
                1e6 * *std::ranges::max_element(seconds), us / first, ResidentMegabytes(getpid()));
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  tandem::KeepFreedMemory();
  const auto argument = [&](int i, size_t otherwise) {
    return argc > i ? std::strtoull(argv[i], nullptr, 10) : otherwise;
  };
  const tandem::GroupShape shape = {.episodes = static_cast<uint32_t>(argument(5, 16))};
  tandem::Main(static_cast<int>(argument(1, 5)), argument(2, 100), argument(3, 1'000'000), argument(4, 1000), shape);
  return 0;
}
