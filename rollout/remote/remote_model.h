// A model behind an OpenAI-compatible endpoint, asked one question at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/config.pb.h"
#include "proto/message.pb.h"

namespace httplib {
class Client;
}

namespace tandem {

// "http://HOST[:PORT][/PATH]", or https. kInvalidArgument: anything else, or https where httplib has no TLS.
struct RemoteUrl {
  std::string origin;  // "http://localhost:8000"
  std::string path;    // "/v1", without a / at its end
};
absl::StatusOr<RemoteUrl> ParseRemoteUrl(const std::string& url);

// The key in the environment variable that the configuration names; "" where it names none. kNotFound: it is not set.
// kInvalidArgument: it is empty, or has blanks or control characters.
absl::StatusOr<std::string> RemoteKey(const proto::RemoteConfig& config);

struct RemoteQuestion {
  std::string prompt;
  int32_t max_tokens = 1;
  uint32_t seed = 0;
};

// What came of a question. An answer that did not come is a fault of the turn, of one of these kinds:
//   remote_unreachable  no connection, or it broke            remote_refused    status 4xx
//   remote_timeout      no answer within timeout_s            remote_malformed  status 200, but no answer
//   remote_failed       status 429 or 5xx
struct RemoteReply {
  proto::RemoteAnswer answer;
  bool stopped = false;  // by itself, and not by its length
  std::string fault;     // its kind; "": there is an answer
  std::string detail;    // one line that names the endpoint
};

// Thread-safe: every attempt has a connection of its own.
class RemoteModel {
 public:
  // `config`, `url` and `key` were checked.
  RemoteModel(const proto::RemoteConfig& config, RemoteUrl url, std::string key);

  // One attempt; blocks for timeout_s at most, but for what client.stop() cuts short. `use` is told of the connection
  // before it is used, and of nullptr after it.
  RemoteReply Ask(const RemoteQuestion& question, const std::function<void(httplib::Client*)>& use);

  const proto::RemoteConfig& config() const { return config_; }
  std::string name() const;  // for messages: "http://localhost:8000/v1 (model m)"

 private:
  std::string Body(const RemoteQuestion& question, bool with_tokens) const;

  const proto::RemoteConfig config_;
  const RemoteUrl url_;
  const std::string key_;
};

// Whether asking once more may help.
bool MayBeRetried(const RemoteReply& reply);

}  // namespace tandem
