#include "launch/stop_signals.h"

#include <ctime>

namespace tandem {
namespace {

sigset_t OurSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&set, signal);
  return set;
}

// A signal that is blocked is kept even where whoever started the process had it ignored (nohup, a supervisor).
bool Ignored(int signal) {
  struct sigaction action {};
  return sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

bool AsksToStop(int signal) { return signal == SIGINT || signal == SIGTERM || signal == SIGHUP; }

void BlockSignals() {
  const sigset_t set = OurSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

void UnblockSignals() {
  const sigset_t set = OurSignals();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

int WaitForSignal(double timeout_s) {
  const sigset_t set = OurSignals();
  timespec timeout{};
  timeout.tv_sec = static_cast<std::time_t>(timeout_s);
  timeout.tv_nsec = static_cast<long>((timeout_s - static_cast<double>(timeout.tv_sec)) * 1e9);
  const int signal = sigtimedwait(&set, nullptr, &timeout);
  return signal > 0 && !Ignored(signal) ? signal : 0;
}

StopSignals::StopSignals() {
  BlockSignals();
  thread_ = std::thread([this] {
    while (!ended_) {
      if (AsksToStop(WaitForSignal(0.2))) stop_ = true;
    }
  });
}

StopSignals::~StopSignals() {
  ended_ = true;
  thread_.join();
}

}  // namespace tandem
