// The exchange as a process: Exchange behind a wire::Server, its metrics and sample episodes in files.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "exchange/stages.h"
#include "proto/config.pb.h"
#include "proto/wire/network.h"

namespace tandem {

struct ExchangeRun {
  proto::Config config;    // resolved
  std::string run_name;    // of the run folder; it is part of every group
  std::string run_folder;  // exists; gets metrics.jsonl, episodes.jsonl, tensorboard/ and journal/
  std::string endpoint;    // to bind: ipc://, tcp:// (a port of * is chosen) or inproc://
  std::string build;
  std::string config_digest;
  uint32_t incarnation = 0;                   // of the versions to come: one more than that of the run resumed from
  std::map<std::string, ResumePoint> resume;  // policies that go on from a checkpoint
  double clock_offset_s = 0;                  // a resumed run's clock goes on where it stopped
  bool writes_journal = true;                 // not: only to measure what it costs. Such a run cannot be recovered
  std::function<void(const std::string& endpoint)> on_bound;  // called once, with the endpoint to connect to
};

// When there is a journal of this incarnation already, its exchange has died: this one goes on where that one stopped,
// with the same peers, who need not notice (exchange/recovery.h).
// Blocks until the run is finished and everybody has left, or `stop` is set: then trainers may finish their step and
// are told to write a checkpoint, workers to leave. Errors: the endpoint cannot be bound or a file not be opened
// (named); kUnavailable: somebody has been missing for transport.connect_s ("no trainer of policy executor has joined
// within 30 s"); whoever is there is told to stop first.
absl::Status RunExchange(const ExchangeRun& run, wire::Network& network, const std::atomic<bool>& stop);

}  // namespace tandem
