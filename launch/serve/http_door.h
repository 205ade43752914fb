// The HTTP side of `tandem serve`: routes, streams, clients that hang up.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "launch/serve/generation_service.h"
#include "launch/serve/served_model.h"

namespace tandem {

class HttpDoor {
 public:
  // `model` and `service` outlive it. So many clients at most are answered at the same time; others wait to be taken.
  HttpDoor(const ServedModel& model, GenerationService* service, size_t clients);
  ~HttpDoor();

  // The port, which for 0 is a free one. kUnavailable names host and port.
  absl::StatusOr<int> Bind(const std::string& host, int port);
  // Answers until Stop, which may come from another thread; then waits for the clients that are being answered.
  void Listen();
  void Stop();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace tandem
