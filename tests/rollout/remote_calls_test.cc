// Questions to an endpoint that answers, refuses, breaks, drips or is not there.
#include "rollout/remote/remote_calls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <atomic>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_cat.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

// Answers as the test says.
class Endpoint {
 public:
  using Answer = std::function<void(const httplib::Request&, httplib::Response&)>;
  explicit Endpoint(Answer answer) {
    server_.Post("/v1/chat/completions", [this, answer](const httplib::Request& request, httplib::Response& response) {
      ++asked;
      answer(request, response);
    });
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::yield();
  }
  ~Endpoint() {
    server_.stop();
    thread_.join();
  }
  std::string url() const { return absl::StrCat("http://127.0.0.1:", port_, "/v1"); }

  std::atomic<int> asked{0};

 private:
  httplib::Server server_;
  int port_;
  std::thread thread_;
};

proto::RemoteConfig ConfigOf(const std::string& url, uint32_t retries = 0, double timeout_s = 20) {
  proto::RemoteConfig config;
  config.set_url(url);
  config.set_model("m");
  config.set_temperature(0.5);
  config.set_retries(retries);
  config.set_timeout_s(timeout_s);
  config.set_concurrency(2);
  return config;
}

RemoteReply AskOnce(const proto::RemoteConfig& config, const std::string& key = "") {
  RemoteCalls calls(RemoteModel(config, *ParseRemoteUrl(config.url()), key));
  calls.Begin({"7*2=", 4, 11});
  while (true) {
    calls.Wait(/*timeout_s=*/1);
    auto replies = calls.Take();
    if (!replies.empty()) return replies.front().second;
  }
}

void Say(httplib::Response& response, const Json& body, int status = 200) {
  response.status = status;
  response.set_content(body.dump(), "application/json");
}

Json Answering(const Json& text) {
  return {{"choices", {{{"message", {{"content", text}}}, {"finish_reason", "stop"}}}}};
}

TEST(RemoteCallsTest, AnAnswerComesWithWhatTheServerTellsOfIt) {
  Json asked;
  std::string authorization;
  const Endpoint endpoint([&](const httplib::Request& request, httplib::Response& response) {
    asked = Json::parse(request.body);
    authorization = request.get_header_value("Authorization");
    Json answer = Answering("4");
    answer["choices"][0]["token_ids"] = {17, 2};
    answer["choices"][0]["logprobs"] = {{"content", {{{"logprob", -0.5}}, {{"logprob", -0.25}}}}};
    Say(response, answer);
  });
  const RemoteReply reply = AskOnce(ConfigOf(endpoint.url()), "secret");
  EXPECT_EQ(reply.fault, "");
  EXPECT_TRUE(reply.stopped);
  EXPECT_EQ(reply.answer.text(), "4");
  EXPECT_EQ(reply.answer.prompt(), "7*2=");
  EXPECT_THAT(reply.answer.token_ids(), testing::ElementsAre(17, 2));
  EXPECT_THAT(reply.answer.logprobs(), testing::ElementsAre(-0.5f, -0.25f));
  EXPECT_EQ(asked["messages"], Json::parse(R"([{"role": "user", "content": "7*2="}])"));
  EXPECT_EQ(asked["temperature"], 0.5);
  EXPECT_EQ(asked["seed"], 11);
  EXPECT_EQ(authorization, "Bearer secret");
}

TEST(RemoteCallsTest, AServerThatGivesNoTokensIsAskedForTextAlone) {
  const Endpoint endpoint([](const httplib::Request& request, httplib::Response& response) {
    if (Json::parse(request.body).contains("logprobs")) return Say(response, {{"error", "logprobs: unknown"}}, 400);
    Say(response, Answering("4"));
  });
  const RemoteReply reply = AskOnce(ConfigOf(endpoint.url()));
  EXPECT_EQ(reply.fault, "");
  EXPECT_EQ(reply.answer.text(), "4");
  EXPECT_EQ(reply.answer.token_ids_size(), 0);
}

TEST(RemoteCallsTest, WhatMayPassIsTriedAgain) {
  std::atomic<int> times{0};
  const Endpoint endpoint([&](const httplib::Request&, httplib::Response& response) {
    if (++times == 1) return Say(response, {{"error", {{"message", "too busy"}}}}, 503);
    Say(response, Answering("4"));
  });
  const RemoteReply reply = AskOnce(ConfigOf(endpoint.url(), /*retries=*/2));
  EXPECT_EQ(reply.fault, "");
  EXPECT_EQ(reply.answer.attempts(), 2u);
}

TEST(RemoteCallsTest, FaultsAreNamedInOneLine) {
  const auto fault = [](int status, const std::string& body, uint32_t retries = 0) {
    const Endpoint endpoint([&](const httplib::Request&, httplib::Response& response) {
      response.status = status;
      response.set_content(body, "application/json");
    });
    const RemoteReply reply = AskOnce(ConfigOf(endpoint.url(), retries));
    EXPECT_EQ(reply.detail.find('\n'), std::string::npos);
    EXPECT_THAT(reply.detail, HasSubstr(endpoint.url() + " (model m): "));
    return absl::StrCat(reply.fault, " ", reply.detail);
  };
  EXPECT_THAT(fault(401, R"({"error": {"message": "no\nkey"}})", 3), HasSubstr("remote_refused"));
  EXPECT_THAT(fault(401, R"({"error": {"message": "no\nkey"}})", 3), HasSubstr("status 401: no key"));
  EXPECT_THAT(fault(500, "", 1), HasSubstr("remote_failed"));
  EXPECT_THAT(fault(500, "", 1), HasSubstr("(attempt 2, the last)"));
  EXPECT_THAT(fault(200, "<html>"), HasSubstr("remote_malformed"));
  const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
  EXPECT_THAT(fault(200, "{\"choices\": [{\"message\": " + deep + "}]}"), HasSubstr("remote_malformed"));
  EXPECT_THAT(fault(404, "{\"error\": " + deep + "}"), HasSubstr("remote_refused"));
  EXPECT_THAT(fault(200, Answering(nullptr).dump()), HasSubstr("remote_malformed"));
  EXPECT_THAT(fault(200, R"({"choices": []})"), HasSubstr("its answer is no chat completion"));
  EXPECT_EQ(AskOnce(ConfigOf("http://127.0.0.1:1/v1")).fault, "remote_unreachable");
}

TEST(RemoteCallsTest, ASilentOrDrippingServerIsATimeout) {
  for (const bool drips : {false, true}) {
    std::atomic<bool> over{false};
    const Endpoint endpoint([&](const httplib::Request&, httplib::Response& response) {
      response.set_chunked_content_provider("application/json", [&](size_t, httplib::DataSink& sink) {
        if (over) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        return !drips || sink.write(" ", 1);
      });
    });
    const RemoteReply reply = AskOnce(ConfigOf(endpoint.url(), 0, /*timeout_s=*/0.3));
    over = true;
    EXPECT_EQ(reply.fault, "remote_timeout") << reply.detail;
    EXPECT_THAT(reply.detail, HasSubstr("no answer within 0.3 s"));
  }
}

TEST(RemoteCallsTest, LeavingDoesNotWaitForTheServer) {
  std::atomic<bool> over{false};
  const Endpoint endpoint([&](const httplib::Request&, httplib::Response&) {
    while (!over) std::this_thread::yield();
  });
  const RealClock clock;
  {
    const proto::RemoteConfig config = ConfigOf(endpoint.url(), 5, /*timeout_s=*/300);
    RemoteCalls calls(RemoteModel(config, *ParseRemoteUrl(config.url()), ""));
    const uint64_t first = calls.Begin({"1", 4, 0});
    for (int i = 0; i < 8; ++i) calls.Begin({"2", 4, 0});  // more than there are threads
    while (endpoint.asked < 2) std::this_thread::yield();
    calls.Forget(first);
    EXPECT_EQ(calls.under_way(), 8u);
    EXPECT_TRUE(calls.Take().empty());
  }
  EXPECT_LT(clock.Now(), 60);
  over = true;
}

TEST(RemoteCallsTest, Urls) {
  EXPECT_EQ(ParseRemoteUrl("http://a:80/v1/")->path, "/v1");
  EXPECT_EQ(ParseRemoteUrl("http://a:80")->origin, "http://a:80");
  for (const char* url : {"", "a:80", "http://", "http:///v1", "ftp://a", "http://a b/v1", "http://a/v1?x"}) {
    EXPECT_EQ(ParseRemoteUrl(url).status().code(), absl::StatusCode::kInvalidArgument) << url;
  }
}

}  // namespace
}  // namespace tandem
