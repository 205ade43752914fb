// How many turns a second the exchange takes in. It runs as a process of its own, fed over ipc by sessions of workers
// that make groups up, and by trainers that take batches and publish without computing.
//   exchange_load [sessions=1000] [threads=4] [episodes=16] [turns=4] [prompt=32] [output=64] [groups_per_step=256]
//                 [bound=4] [group_s=0] [windows=7] [window_s=3] [warm_up_s=5] [journal=1]
// group_s: how long a session takes for a group; with 0 they offer as much as the exchange takes. Where feeders and
// exchange share the cores, the rate is that of the machine: the exchange's own limit is the CPU time of its thread.
#include <sys/prctl.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <numeric>
#include <thread>
#include <zmq.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/log.h"
#include "base/status.h"
#include "exchange/service.h"
#include "launch/allocator.h"
#include "tests/bench/cpu_time.h"
#include "tests/bench/process_usage.h"
#include "tests/bench/synthetic_team.h"

namespace tandem {
namespace {

constexpr size_t kWeightBytes = 64 << 10;

using Options = std::map<std::string, double>;

Options Parse(int argc, char** argv) {
  Options options = {{"sessions", 1000}, {"threads", 4},           {"episodes", 16}, {"turns", 4},   {"prompt", 32},
                     {"output", 64},     {"groups_per_step", 256}, {"bound", 4},     {"group_s", 0}, {"windows", 7},
                     {"window_s", 3},    {"warm_up_s", 5},         {"journal", 1}};
  for (int i = 1; i < argc; ++i) {
    const std::pair<std::string, std::string> option = absl::StrSplit(argv[i], absl::MaxSplits('=', 1));
    double value;
    if (options.contains(option.first) && absl::SimpleAtod(option.second, &value)) {
      options[option.first] = value;
    } else {
      std::fprintf(stderr, "%s: no such option; see the beginning of exchange_load.cc\n", argv[i]);
      std::exit(2);
    }
  }
  return options;
}

std::atomic<bool> stop{false};

// In the child: an exchange that ends with SIGTERM, or with its parent.
int ExchangeProcess(const Options& options, const std::string& folder) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::signal(SIGTERM, [](int) { stop = true; });
  SetUpLogging("exchange", "warn");
  ExchangeRun run;
  run.run_name = "load";
  run.run_folder = folder;
  run.endpoint = "ipc://" + folder + "/socket";
  run.build = kBuild;
  run.config_digest = kConfigDigest;
  run.writes_journal = options.at("journal") != 0;
  for (const char* policy : {"planner", "executor"}) {
    auto* staleness = (*run.config.mutable_policies())[policy].mutable_staleness();
    staleness->set_bound(static_cast<uint32_t>(options.at("bound")));
  }
  run.config.mutable_sft()->set_steps(0);
  run.config.mutable_train()->set_steps(1u << 20);
  run.config.mutable_train()->set_groups_per_step(static_cast<uint32_t>(options.at("groups_per_step")));
  run.config.mutable_train()->set_group_size(static_cast<uint32_t>(options.at("episodes")));
  run.config.mutable_evaluation()->set_episodes(0);
  zmq::context_t context;
  wire::ZmqNetwork network(context);
  const absl::Status status = RunExchange(run, network, stop);
  if (!status.ok()) std::fprintf(stderr, "exchange: %s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}

// Counted from the beginning.
struct Usage {
  double wall_s, groups, exchange_s, thread_s, feeders_s;
};

Usage UsageNow(pid_t exchange, const std::atomic<uint64_t>& accepted) {
  timespec wall;
  clock_gettime(CLOCK_MONOTONIC, &wall);
  return {Seconds(wall), static_cast<double>(accepted), ProcessCpu(exchange), FirstThreadCpu(exchange),
          ProcessCpu(getpid())};
}

void Measure(const Options& options, pid_t exchange, const std::atomic<uint64_t>& accepted, double turns) {
  std::this_thread::sleep_for(std::chrono::duration<double>(options.at("warm_up_s")));
  std::vector<double> rate, thread_us, exchange_us, exchange_cores, feeder_cores;
  const double resident = ResidentMegabytes(exchange);
  Usage before = UsageNow(exchange, accepted);
  const double start_s = before.wall_s, start_groups = before.groups;
  for (int window = 0; window < options.at("windows"); ++window) {
    std::this_thread::sleep_for(std::chrono::duration<double>(options.at("window_s")));
    const Usage now = UsageNow(exchange, accepted);
    const double seconds = now.wall_s - before.wall_s, played = std::max(1.0, (now.groups - before.groups) * turns);
    rate.push_back((now.groups - before.groups) * turns / seconds);
    thread_us.push_back(1e6 * (now.thread_s - before.thread_s) / played);
    exchange_us.push_back(1e6 * (now.exchange_s - before.exchange_s) / played);
    exchange_cores.push_back((now.exchange_s - before.exchange_s) / seconds);
    feeder_cores.push_back((now.feeders_s - before.feeders_s) / seconds);
    before = now;
  }
  const double gigabytes =
      (before.groups - start_groups) * turns * 1e-9 * 4 * (options.at("prompt") + options.at("output"));
  std::printf("turns/s: median %.0f of", Median(rate));
  for (double r : rate) std::printf(" %.0f", r);
  std::printf(
      "\nCPU per turn: %.1f us on the exchange's thread (one core of its own: %.0f turns/s), %.1f us of its process\n",
      Median(thread_us), 1e6 / Median(thread_us), Median(exchange_us));
  std::printf("cores used: %.2f by the exchange, %.2f by its feeders\n", Median(exchange_cores), Median(feeder_cores));
  std::printf("resident memory of the exchange: %.0f MB, after %.0f s and %.2f GB of token ids more %.0f MB\n",
              resident, before.wall_s - start_s, gigabytes, ResidentMegabytes(exchange));
}

void Main(const Options& options) {
  char folder[] = "/tmp/tandem-load-XXXXXX";
  TANDEM_CHECK(mkdtemp(folder) != nullptr);
  const pid_t exchange = fork();  // before there are any threads
  if (exchange == 0) std::_Exit(ExchangeProcess(options, folder));
  SetUpLogging("feeders", "warn");
  const GroupShape shape{static_cast<uint32_t>(options.at("episodes")), static_cast<uint32_t>(options.at("turns")),
                         static_cast<uint32_t>(options.at("prompt")), static_cast<uint32_t>(options.at("output"))};
  const SyntheticGroup group(shape);
  const std::string endpoint = std::string("ipc://") + folder + "/socket";
  std::atomic<uint64_t> joined{0}, accepted{0};
  std::vector<std::future<absl::Status>> peers;
  for (const char* policy : {"planner", "executor"}) {
    peers.push_back(std::async(std::launch::async, TrainNothing, endpoint, policy, kWeightBytes));
  }
  const auto sessions = static_cast<uint32_t>(options.at("sessions")),
             threads = static_cast<uint32_t>(options.at("threads"));
  for (uint32_t t = 0; t < threads; ++t) {
    const uint32_t first = sessions * t / threads, end = sessions * (t + 1) / threads;
    peers.push_back(std::async(std::launch::async, [=, &group, &joined, &accepted] {
      return PlaySessions({endpoint, first, end - first, options.at("group_s")}, group, &joined, &accepted);
    }));
  }
  const auto failed = [](std::future<absl::Status>& peer) {
    return peer.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  };
  while (joined < sessions && std::none_of(peers.begin(), peers.end(), failed)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  std::printf(
      "%u sessions on %u threads; a group is %u episodes of %u turns of %u + %u tokens, %zu bytes of frames%s\n",
      sessions, threads, shape.episodes, shape.turns, shape.prompt, shape.output,
      std::accumulate(group.frames().begin(), group.frames().end(), size_t{0},
                      [](size_t sum, const wire::Frame& frame) { return sum + frame->size(); }),
      options.at("journal") != 0 ? "" : "; no journal");
  std::fflush(stdout);
  Measure(options, exchange, accepted, shape.turns_of_group());
  kill(exchange, SIGTERM);
  for (auto& peer : peers) {
    if (const absl::Status status = peer.get(); !status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  }
  waitpid(exchange, nullptr, 0);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  tandem::KeepFreedMemory();
  tandem::Main(tandem::Parse(argc, argv));
  return 0;
}
