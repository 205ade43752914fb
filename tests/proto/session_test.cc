// Outbox and Inbox together, over a simulated network that loses, repeats and reorders, with clients that start anew.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "proto/wire/inbox.h"
#include "proto/wire/outbox.h"

namespace tandem::wire {
namespace {

#ifdef TANDEM_SANITIZED
constexpr uint64_t kSchedulesPerShard = 40;
#else
constexpr uint64_t kSchedulesPerShard = 300;
#endif
constexpr uint64_t kShards = 8;
constexpr double kTick = 0.01, kResend = 0.2, kSilence = 2;
constexpr int kClients = 3, kCallsPerClient = 100, kTicksLimit = 40'000;
constexpr size_t kWindow = 8;  // calls that a client has open at most

struct Schedule {
  explicit Schedule(RandomStream& random)
      : lose(Pick(random, {0, 0.1, 0.3, 0.5})),
        repeat(Pick(random, {0, 0.1, 0.4})),
        restart(Pick(random, {0, 0, 0.002, 0.01})),
        short_deadline(Pick(random, {0, 0, 0.1})),
        delay_ticks(Pick(random, {1, 5, 60})),
        work_ticks(Pick(random, {1, 10, 80})) {}
  static double Pick(RandomStream& random, std::vector<double> values) { return values[random.Below(values.size())]; }
  double lose, repeat, restart, short_deadline, delay_ticks, work_ticks;
};

struct SimulatedClient {
  std::string name;
  SessionId session = 0;
  bool joined = false;
  bool dead = false;
  Outbox outbox{kResend};
  std::map<uint64_t, uint32_t> open;  // call -> nonce
  int ended = 0;                      // answered or given up, over all its sessions
  double next_hello = 0;
  double next_heartbeat = 0;
};

class World {
 public:
  explicit World(uint64_t seed) : random_(seed), schedule_(random_) {
    for (int i = 0; i < kClients; ++i) {
      clients_[i].name = absl::StrCat("client-", i);
      Restart(clients_[i]);
    }
  }

  // Empty: every promise was kept.
  std::string Run() {
    for (int tick = 0; tick < kTicksLimit && wrong_.empty(); ++tick) {
      now_ = tick * kTick;
      Deliver();
      if (!wrong_.empty()) break;
      bool finished = true;
      for (SimulatedClient& client : clients_) {
        if (client.dead) continue;
        Act(client);
        finished &= client.ended >= kCallsPerClient && client.open.empty();
      }
      Serve();
      TakeLost();
      if (finished) {
        Finish();
        return wrong_;
      }
    }
    return wrong_.empty() ? "did not finish" : wrong_;
  }

 private:
  struct Travelling {
    SessionId peer;
    bool to_server;
    Packet packet;
  };
  struct Work {
    SessionId session;
    uint64_t call;
    uint32_t nonce;
    double done_at;
  };

  void Restart(SimulatedClient& client) {
    const int ended = client.ended + static_cast<int>(client.open.size());  // those will not be heard of again
    const std::string name = client.name;
    client = SimulatedClient();
    client.name = name;
    client.ended = ended;
    client.session = random_.Next();
    client.next_hello = now_;
  }

  void Wrong(const std::string& what) {
    if (wrong_.empty()) wrong_ = absl::StrCat("at ", now_, " s: ", what);
  }

  void Travel(SessionId peer, bool to_server, Packet packet) {
    packet.header.set_session(peer);
    const int copies = 1 + (random_.Uniform() < schedule_.repeat ? 1 : 0);
    for (int i = 0; i < copies; ++i) {
      if (random_.Uniform() < schedule_.lose) continue;
      const double arrival = now_ + kTick * (1 + random_.Below(static_cast<uint64_t>(schedule_.delay_ticks)));
      network_.emplace(arrival, Travelling{peer, to_server, packet});
    }
  }

  void Deliver() {
    while (!network_.empty() && network_.begin()->first <= now_ && wrong_.empty()) {
      const Travelling message = std::move(network_.extract(network_.begin()).mapped());
      if (message.to_server) {
        AtServer(message);
      } else {
        for (SimulatedClient& client : clients_) {
          if (client.session == message.peer && !client.dead) AtClient(client, message.packet.header);
        }
      }
    }
  }

  void AtServer(const Travelling& message) {
    const proto::Header& header = message.packet.header;
    Packet answer;
    if (header.has_hello()) {
      const auto joined = inbox_.Join(message.peer, header.hello(), kSilence, now_);
      if (joined.ok() && *joined) ++joins_;
      if (joined.ok()) {
        answer.header.mutable_welcome();
      } else {
        answer.header.mutable_refusal();
      }
      return Travel(message.peer, /*to_server=*/false, answer);
    }
    const auto verdict = inbox_.Receive(header, now_);
    if (!verdict.ok()) {
      answer.header.mutable_refusal();
      return Travel(message.peer, /*to_server=*/false, answer);
    }
    if (inbox_.open_calls(message.peer) > kWindow) {
      Wrong(absl::StrCat("the inbox holds ", inbox_.open_calls(message.peer), " calls of a client that had ", kWindow));
    }
    const uint32_t nonce = header.batch_request().step();
    switch (verdict->kind) {
      case Verdict::kHandOut: {
        if (++executed_[{message.peer, header.call()}] > 1)
          Wrong(absl::StrCat("call ", header.call(), " was executed twice"));
        const bool long_one = random_.Below(50) == 0;
        const double takes = long_one ? 300 : static_cast<double>(random_.Below(schedule_.work_ticks + 1));
        work_.push_back({message.peer, header.call(), nonce, now_ + kTick * takes});
        inbox_.SetMissing(message.peer, header.call(), absl::StrCat("work on ", nonce));
        return;
      }
      case Verdict::kRepeat:
        return Travel(message.peer, /*to_server=*/false, *verdict->reply);
      case Verdict::kStillWaiting:
        answer.header.set_call(header.call());
        answer.header.mutable_still_waiting()->set_missing(verdict->missing);
        if (verdict->missing != absl::StrCat("work on ", nonce)) Wrong("a repeated call was told: " + verdict->missing);
        return Travel(message.peer, /*to_server=*/false, answer);
      case Verdict::kNothing:
        return;
    }
  }

  void AtClient(SimulatedClient& client, const proto::Header& header) {
    if (header.has_refusal()) return Restart(client);
    if (header.has_welcome()) {
      client.joined = true;
      return;
    }
    const bool answer = client.outbox.Take(header);
    const auto open = client.open.find(header.call());
    if (answer != (open != client.open.end() && header.has_batch())) Wrong("an answer was taken twice, or not at all");
    if (!answer) return;
    if (header.batch().step() != open->second) Wrong("the answer to another call");
    if (executed_[{client.session, header.call()}] != 1) Wrong("an answer to a call that was not executed");
    client.open.erase(open);
    ++client.ended;
  }

  void Act(SimulatedClient& client) {
    if (random_.Uniform() < schedule_.restart && client.ended < kCallsPerClient) {
      if (schedule_.restart > 0.005 && &client == &clients_[0]) {
        client.dead = true;  // for good
        return;
      }
      return Restart(client);
    }
    if (!client.joined) {
      if (now_ >= client.next_hello) {
        Packet hello;
        hello.header.mutable_hello()->set_name(client.name);
        Travel(client.session, /*to_server=*/true, hello);
        client.next_hello = now_ + kResend;
      }
      return;
    }
    if (client.open.size() < kWindow && client.ended + static_cast<int>(client.open.size()) < kCallsPerClient) {
      Packet packet;
      packet.header.mutable_batch_request()->set_step(++nonce_);
      const double deadline = random_.Uniform() < schedule_.short_deadline ? 0.5 : 1e6;
      client.open[client.outbox.Add(packet, absl::StrCat("call of nonce ", nonce_), deadline, now_)] = nonce_;
    }
    client.outbox.SendDue(now_, [&](const Packet& packet) { Travel(client.session, /*to_server=*/true, packet); });
    if (now_ >= client.next_heartbeat) {
      client.next_heartbeat = now_ + kSilence / 4;
      Packet heartbeat;
      heartbeat.header.mutable_heartbeat();
      WriteDone(client.outbox.done(), &heartbeat.header);
      Travel(client.session, /*to_server=*/true, heartbeat);
    }
    while (const auto overdue = client.outbox.TakeOverdue(now_)) {
      const auto open = client.open.find(overdue->call);
      if (open == client.open.end()) return Wrong("a call that is over was given up");
      if (overdue->what != absl::StrCat("call of nonce ", open->second)) Wrong("the wrong call was given up");
      if (!overdue->missing.empty() && overdue->missing != absl::StrCat("work on ", open->second))
        Wrong(overdue->missing);
      client.open.erase(open);
      ++client.ended;
    }
    if (client.outbox.size() != client.open.size()) Wrong("the outbox holds something else than the open calls");
  }

  void Serve() {
    for (size_t i = 0; i < work_.size();) {
      if (work_[i].done_at > now_) {
        ++i;
        continue;
      }
      const Work work = work_[i];
      work_[i] = work_.back();
      work_.pop_back();
      Packet reply;
      reply.header.set_call(work.call);
      reply.header.mutable_batch()->set_step(work.nonce);
      const Packet* sent = inbox_.Answer(work.session, work.call, std::move(reply));
      if (sent != nullptr) Travel(work.session, /*to_server=*/false, *sent);
    }
  }

  void TakeLost() {
    for (const Lost& lost : inbox_.TakeLost(now_)) {
      if (++lost_[lost.session] > 1) Wrong("a session was lost twice");
    }
    if (inbox_.sessions() > kClients) Wrong("two sessions have one name");
    if (joins_ - lost_.size() != inbox_.sessions()) Wrong("a session is neither here nor lost");
  }

  // One heartbeat that arrives, and everything that was kept for a client is forgotten; silence loses everybody.
  void Finish() {
    for (SimulatedClient& client : clients_) {
      if (client.dead || inbox_.peer(client.session) == nullptr) continue;
      proto::Header header;
      header.set_session(client.session);
      WriteDone(client.outbox.done(), &header);
      if (!inbox_.Receive(header, now_).ok()) Wrong("a heartbeat was refused");
      if (inbox_.open_calls(client.session) != 0) Wrong("replies are kept that nobody waits for");
    }
    now_ += kSilence + kTick;
    TakeLost();
    if (inbox_.sessions() != 0) Wrong("a silent session is not lost");
  }

  RandomStream random_;
  const Schedule schedule_;
  double now_ = 0;
  uint32_t nonce_ = 0;
  SimulatedClient clients_[kClients];
  Inbox inbox_;
  std::vector<Work> work_;
  std::multimap<double, Travelling> network_;
  std::map<std::pair<SessionId, uint64_t>, int> executed_;
  std::map<SessionId, int> lost_;
  size_t joins_ = 0;
  std::string wrong_;
};

class SessionPropertyTest : public testing::TestWithParam<uint64_t> {};

TEST_P(SessionPropertyTest, EveryCallIsExecutedAtMostOnceAndAnsweredOnceInBoundedMemory) {
  for (uint64_t i = 0; i < kSchedulesPerShard; ++i) {
    const uint64_t seed = GetParam() * 1'000'000 + i;
    ASSERT_EQ(World(seed).Run(), "") << "seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(, SessionPropertyTest, testing::Range(uint64_t{0}, kShards));

TEST(OutboxTest, SendsAgainUntilAnsweredAndNamesWhatIsMissing) {
  Outbox outbox(/*resend_s=*/2);
  Packet packet;
  packet.frames = {MakeFrame("tokens")};
  const uint64_t call = outbox.Add(packet, "batch of step 12 of planner", /*deadline_s=*/5, /*now=*/0);
  EXPECT_EQ(call, 1u);
  std::vector<size_t> frames;  // of each packet that was sent
  const auto send = [&](const Packet& sent) { frames.push_back(sent.frames.size()); };
  for (double now : {0.0, 1.9, 2.0, 3.9}) outbox.SendDue(now, send);
  EXPECT_EQ(frames, (std::vector<size_t>{1, 1}));
  EXPECT_EQ(outbox.next_send(), 4.0);
  proto::Header waiting;
  waiting.set_call(call);
  waiting.mutable_still_waiting()->set_missing("7 of 32 groups are missing");
  EXPECT_FALSE(outbox.Take(waiting));
  outbox.SendDue(4.0, send);
  EXPECT_EQ(frames, (std::vector<size_t>{1, 1, 0}));  // the server has the frames
  EXPECT_FALSE(outbox.TakeOverdue(4.9).has_value());
  const auto overdue = outbox.TakeOverdue(5);
  ASSERT_TRUE(overdue.has_value());
  EXPECT_EQ(overdue->what, "batch of step 12 of planner");
  EXPECT_EQ(overdue->missing, "7 of 32 groups are missing");
  EXPECT_EQ(outbox.size(), 0u);
  EXPECT_EQ(outbox.done().below(), 2u);
}

TEST(InboxTest, ALostSessionStaysLostAndSaysWhy) {
  Inbox inbox;
  proto::Hello hello;
  hello.set_name("worker-1");
  ASSERT_TRUE(*inbox.Join(1, hello, /*silence_s=*/10, /*now=*/0));
  EXPECT_FALSE(*inbox.Join(1, hello, 10, 1));  // a repeated hello
  ASSERT_TRUE(*inbox.Join(2, hello, 10, 2));
  const auto lost = inbox.TakeLost(2);
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(lost[0].session, 1u);
  EXPECT_EQ(lost[0].why, "joined again as another session");
  EXPECT_EQ(inbox.Join(1, hello, 10, 3).status().message(), "the session was lost: joined again as another session");
  proto::Header header;
  header.set_session(3);
  EXPECT_EQ(inbox.Receive(header, 3).status().message(), "the session is not known");
  inbox.Forgive(5);  // heard at 2, so that 10 s of silence are over at 17
  EXPECT_TRUE(inbox.TakeLost(17).empty());
  EXPECT_EQ(inbox.TakeLost(17.5).at(0).why, "silent for 10.5 s");
}

TEST(InboxTest, CallsThatAreOpenAreLimited) {
  Inbox inbox;
  proto::Hello hello;
  hello.set_name("flood");
  ASSERT_TRUE(inbox.Join(1, hello, 10, 0).ok());
  proto::Header header;
  header.set_session(1);
  for (uint64_t call = 1; call <= Inbox::kMaxOpenCalls; ++call) {
    header.set_call(call);
    ASSERT_EQ(inbox.Receive(header, 0)->kind, Verdict::kHandOut);
  }
  header.set_call(Inbox::kMaxOpenCalls + 1);
  EXPECT_EQ(inbox.Receive(header, 0).status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace tandem::wire
