// A server on a thread of its own, and endpoints that nobody else uses.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <zmq.hpp>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "proto/wire/client.h"
#include "proto/wire/server.h"

namespace tandem::wire {

inline std::string FreshEndpoint(const std::string& transport) {
  static std::atomic<int> count{0};
  const std::string name = absl::StrCat("tandem-wire-", getpid(), "-", ++count);
  if (transport == "inproc") return "inproc://" + name;
  if (transport == "ipc") return absl::StrCat("ipc://", testing::TempDir(), name);
  return "tcp://127.0.0.1:*";
}

inline ServerOptions TestServerOptions(std::string endpoint) {
  ServerOptions options;
  options.endpoint = std::move(endpoint);
  options.build = "build-a";
  options.config_digest = "digest-a";
  return options;
}

inline ClientOptions TestClientOptions(std::string endpoint, std::string name = "worker-1") {
  ClientOptions options;
  options.endpoint = std::move(endpoint);
  options.hello.set_build("build-a");
  options.hello.set_config_digest("digest-a");
  options.hello.set_name(std::move(name));
  options.resend_s = 0.1;
  options.deadline_s = 60;
  return options;
}

// A call that carries `number`, and its answer.
inline proto::Header NumberCall(uint32_t number) {
  proto::Header header;
  header.mutable_batch_request()->set_step(number);
  return header;
}

// Runs a server until it is destroyed. The handler runs on the server's thread. Without one, calls are answered with a
// batch of the same number and the frames that came.
class ServerThread {
 public:
  using Handler = std::function<void(Server&, Event)>;

  ServerThread(std::unique_ptr<Server> server, Handler handler = Echo)
      : server_(std::move(server)),
        endpoint_(server_->endpoint()),
        handler_(std::move(handler)),
        thread_([this] { Loop(); }) {}

  ~ServerThread() {
    stop_ = true;
    thread_.join();
  }

  static void Echo(Server& server, Event event) {
    if (event.kind != Event::kCall) return;
    proto::Header header;
    header.mutable_batch()->set_step(event.packet.header.batch_request().step());
    server.Reply(event.session, event.call, std::move(header), std::move(event.packet.frames));
  }

  const std::string& endpoint() const { return endpoint_; }

 private:
  void Loop() {
    while (!stop_) {
      auto event = server_->Poll(0.01);
      if (!event.ok()) {
        ADD_FAILURE() << event.status();
        return;
      }
      if (event->has_value()) handler_(*server_, **std::move(event));
    }
  }

  std::unique_ptr<Server> server_;
  const std::string endpoint_;
  const Handler handler_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace tandem::wire
