#include "launch/stop_signals.h"

#include <ctime>

namespace tandem {
namespace {

sigset_t OurSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGCHLD}) sigaddset(&set, signal);
  return set;
}

}  // namespace

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
  return signal > 0 ? signal : 0;
}

StopSignals::StopSignals() {
  struct sigaction interrupt {};
  sigaction(SIGINT, nullptr, &interrupt);
  const bool take_interrupt = interrupt.sa_handler != SIG_IGN;
  BlockSignals();
  thread_ = std::thread([this, take_interrupt] {
    while (!ended_) {
      const int signal = WaitForSignal(0.2);
      if (signal == SIGTERM || (signal == SIGINT && take_interrupt)) stop_ = true;
    }
  });
}

StopSignals::~StopSignals() {
  ended_ = true;
  thread_.join();
}

}  // namespace tandem
