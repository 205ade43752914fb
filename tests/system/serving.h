// `tandem serve` on a tiny model, as a person starts it, and a client over a real socket.
#pragma once

#include <gtest/gtest.h>
#include <httplib.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "tests/system/tandem_process.h"

namespace tandem {

using Json = nlohmann::json;

// Of a stream, without [DONE], which has to be there.
inline std::vector<Json> EventsOf(const std::string& body) {
  std::vector<Json> events;
  bool done = false;
  for (const absl::string_view part : absl::StrSplit(body, "\n\n", absl::SkipEmpty())) {
    const std::string event(part);
    EXPECT_TRUE(absl::StartsWith(event, "data: ")) << event;
    EXPECT_FALSE(done) << event;
    done = event == "data: [DONE]";
    if (!done) events.push_back(Json::parse(event.substr(6)));
  }
  EXPECT_TRUE(done) << body;
  return events;
}

class Serving {
 public:
  explicit Serving(const std::string& model, std::vector<std::string> flags = {})
      : process_([&] {
          std::vector<std::string> words = {"serve", model, "--port", "0", "--name", "tiny"};
          words.insert(words.end(), flags.begin(), flags.end());
          return words;
        }()) {
    const std::string line = process_.NextLine().value_or("");
    const size_t at = line.find("http://");
    EXPECT_NE(at, std::string::npos) << line;
    if (at != std::string::npos) url_ = line.substr(at, line.find_last_not_of('\n') + 1 - at);
  }

  TandemProcess& process() { return process_; }
  const std::string& url() const { return url_; }  // "http://127.0.0.1:4711/v1"

  httplib::Client Client() const {
    httplib::Client client(url_.substr(0, url_.rfind("/v1")));
    client.set_read_timeout(60);
    return client;
  }
  std::pair<int, std::string> Send(const std::string& path, const std::string& body) const {
    const auto result = Client().Post(path, body, "application/json");
    EXPECT_TRUE(result) << path << ": " << httplib::to_string(result.error());
    return result ? std::pair(result->status, result->body) : std::pair(0, std::string());
  }
  // The answer to a request that is fine.
  Json Ask(const std::string& path, const Json& body) const {
    const auto [status, answer] = Send(path, body.dump());
    EXPECT_EQ(status, 200) << answer;
    return Json::parse(answer, nullptr, /*allow_exceptions=*/false);
  }
  Json Error(const std::string& path, const std::string& body, int status = 400) const {
    const auto [is, answer] = Send(path, body);
    EXPECT_EQ(is, status) << answer;
    return Json::parse(answer, nullptr, /*allow_exceptions=*/false)["error"];
  }
  // A line of /metrics.
  double Metric(const std::string& name) const {
    const auto result = Client().Get("/metrics");
    if (!result) return -1;
    const size_t at = result->body.find("\ntandem_" + name + " ");
    return at == std::string::npos ? -1 : std::stod(result->body.substr(at + name.size() + 9));
  }

 private:
  TandemProcess process_;
  std::string url_;
};

}  // namespace tandem
