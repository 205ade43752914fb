// `tandem serve` over a real socket.
#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "tests/policy/tiny_qwen.h"
#include "tests/system/one_process.h"
#include "tests/system/serving.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

class ServeTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new ScratchFolder();
    ASSERT_TRUE(WriteTinyQwen(Model(1), 1).ok());
    ASSERT_TRUE(WriteTinyQwen(Model(2), 2).ok());
  }
  static void TearDownTestSuite() { delete folder_; }
  static std::string Model(int seed) { return absl::StrCat(folder_->path(), "/", seed); }

  static inline ScratchFolder* folder_ = nullptr;
};

const Json kText = {{"prompt", "The sum of 3 and 4 is"}, {"max_tokens", 24},  {"seed", 7}, {"logprobs", 0},
                    {"return_token_ids", true},          {"ignore_eos", true}};

// What a client that puts a stream's chunks together has of each choice.
std::vector<Json> PutTogether(const std::vector<Json>& events, size_t choices, bool chat) {
  std::vector<Json> whole(choices, Json{{"text", ""}, {"token_ids", Json::array()}, {"logprobs", Json::array()}});
  for (const Json& event : events) {
    for (const Json& choice : event["choices"]) {
      Json& all = whole[choice["index"].get<size_t>()];
      const std::string more = chat ? choice["delta"].value("content", "") : choice["text"].get<std::string>();
      all["text"] = all["text"].get<std::string>() + more;
      for (const Json& id : choice.value("token_ids", Json::array())) all["token_ids"].push_back(id);
      if (choice["logprobs"].is_object()) {
        const Json& list = chat ? choice["logprobs"]["content"] : choice["logprobs"]["token_logprobs"];
        for (const Json& one : list) all["logprobs"].push_back(chat ? one["logprob"] : one);
      }
      if (!choice["finish_reason"].is_null()) all["finish"] = choice["finish_reason"];
    }
  }
  return whole;
}

TEST_F(ServeTest, AStreamIsTheSameAsAWholeAnswer) {
  const Serving serving(Model(1));
  Json request = kText;
  request["n"] = 3;
  const Json whole = serving.Ask("/v1/completions", request);
  ASSERT_EQ(whole["choices"].size(), 3u);
  EXPECT_EQ(whole["usage"]["completion_tokens"], 72);
  EXPECT_EQ(whole, [&] {  // once more: all but the names
    Json again = serving.Ask("/v1/completions", request);
    for (const char* key : {"id", "created"}) again[key] = whole[key];
    return again;
  }());
  EXPECT_NE(whole["choices"][0]["token_ids"], whole["choices"][1]["token_ids"]);
  request["stream"] = true;
  request["stream_options"] = {{"include_usage", true}};
  const std::vector<Json> events = EventsOf(serving.Send("/v1/completions", request.dump()).second);
  EXPECT_EQ(events.back()["usage"], whole["usage"]);
  const std::vector<Json> together = PutTogether(events, 3, /*chat=*/false);
  for (size_t i = 0; i < 3; ++i) {
    const Json& choice = whole["choices"][i];
    EXPECT_EQ(together[i]["text"], choice["text"]);
    EXPECT_EQ(together[i]["token_ids"], choice["token_ids"]);
    EXPECT_EQ(together[i]["logprobs"], choice["logprobs"]["token_logprobs"]);
    EXPECT_EQ(together[i]["finish"], "length");
    EXPECT_EQ(choice["versions"], Json::parse(R"([{"incarnation": 0, "number": 0, "count": 24}])"));
    EXPECT_EQ(choice["sampled_logprobs"].size(), 24u);
  }
}

TEST_F(ServeTest, ChatsTextsAndIds) {
  const Serving serving(Model(1));
  const Json chat = {{"messages", Json::array({{{"role", "user"}, {"content", "Hello"}}})},
                     {"max_tokens", 12},
                     {"seed", 3},
                     {"logprobs", true},
                     {"return_token_ids", true},
                     {"user", "somebody"}};
  const Json whole = serving.Ask("/v1/chat/completions", chat);
  const Json& choice = whole["choices"][0];
  EXPECT_EQ(choice["message"]["role"], "assistant");
  EXPECT_EQ(choice["logprobs"]["content"].size(), choice["token_ids"].size());
  Json stream = chat;
  stream["stream"] = true;
  const auto events = EventsOf(serving.Send("/v1/chat/completions", stream.dump()).second);
  EXPECT_EQ(events.front()["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(events.front()["prompt_token_ids"], whole["prompt_token_ids"]);
  EXPECT_EQ(PutTogether(events, 1, /*chat=*/true)[0]["text"], choice["message"]["content"]);
  // The same ids are the same prompt; several prompts are as each by itself with the choice's number.
  Json ids = {{"prompt", whole["prompt_token_ids"]},
              {"max_tokens", 12},
              {"seed", 3},
              {"return_token_ids", true},
              {"stop_token_ids", {1100, 1102}}};
  EXPECT_EQ(serving.Ask("/v1/completions", ids)["choices"][0]["token_ids"], choice["token_ids"]);
  ids["prompt"] = Json::array({whole["prompt_token_ids"], whole["prompt_token_ids"]});
  const Json both = serving.Ask("/v1/completions", ids);
  EXPECT_EQ(both["choices"][0]["token_ids"], choice["token_ids"]);
  EXPECT_EQ(both["choices"].size(), 2u);
  EXPECT_EQ(Json::parse(serving.Client().Get("/v1/models")->body)["data"][0]["id"], "tiny");
  EXPECT_EQ(Json::parse(serving.Client().Get("/v1/models/tiny")->body)["id"], "tiny");
  EXPECT_EQ(serving.Client().Get("/v1/models/other")->status, 404);
  EXPECT_EQ(serving.Client().Get("/health")->status, 200);
}

TEST_F(ServeTest, AStopStringEndsTheTextBeforeIt) {
  const Serving serving(Model(1));
  const std::string text = serving.Ask("/v1/completions", kText)["choices"][0]["text"];
  // Characters out of the middle, wherever the borders of tokens are.
  size_t at = text.size() / 2, end = at;
  while ((text[at] & 0xC0) == 0x80) ++at;
  for (end = at + 3; end < text.size() && (text[end] & 0xC0) == 0x80;) ++end;
  const std::string stop = text.substr(at, end - at);
  Json request = kText;
  request["stop"] = {"never comes up", stop};
  const Json choice = serving.Ask("/v1/completions", request)["choices"][0];
  EXPECT_EQ(choice["text"], text.substr(0, text.find(stop)));
  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_EQ(choice["stop_reason"], stop);
  request["stream"] = true;
  const auto events = EventsOf(serving.Send("/v1/completions", request.dump()).second);
  EXPECT_EQ(PutTogether(events, 1, /*chat=*/false)[0]["text"], choice["text"]);
}

TEST_F(ServeTest, WhatIsWrongIsSaidOfThatRequestAlone) {
  const Serving serving(Model(1));
  const auto error = [&](const Json& change, const std::string& path = "/v1/completions", int status = 400) {
    Json request = path == "/v1/completions" ? kText : Json{{"messages", {{{"role", "user"}, {"content", "x"}}}}};
    request.update(change);
    const Json is = serving.Error(path, request.dump(), status);
    return absl::StrCat(is["param"].is_null() ? "" : is["param"].get<std::string>(), " | ",
                        is["message"].get<std::string>());
  };
  EXPECT_THAT(error({{"frequency_penalty", 0.5}}),
              HasSubstr("frequency_penalty | frequency_penalty: is not supported"));
  EXPECT_THAT(error({{"temprature", 0.5}}), HasSubstr("did you mean temperature?"));
  EXPECT_THAT(error({{"logit_bias", {{"5", 1}}}}), HasSubstr("logit_bias | "));
  EXPECT_THAT(error({{"top_p", 2}}), HasSubstr("expected a number from 0 to 1, found 2"));
  EXPECT_THAT(error({{"max_tokens", "many"}}), HasSubstr("max_tokens | "));
  EXPECT_THAT(error({{"logprobs", 5}}), HasSubstr("expected 0"));
  EXPECT_THAT(error({{"stop", ""}}), HasSubstr("stop: string 1 is empty"));
  EXPECT_THAT(error({{"prompt", {1, 1152}}}), HasSubstr("id 1 is 1152, expected a token id from 0 to 1151"));
  EXPECT_THAT(error({{"prompt", Json::array()}}), HasSubstr("prompt | "));
  EXPECT_THAT(error({{"model", "another"}}, "/v1/completions", 404), HasSubstr("there is no model another"));
  EXPECT_THAT(error({{"tools", {1}}}, "/v1/chat/completions"), HasSubstr("tools | tools: is not supported"));
  EXPECT_THAT(error({{"response_format", {{"type", "json_object"}}}}, "/v1/chat/completions"),
              HasSubstr("response_format | "));
  EXPECT_THAT(error({{"top_logprobs", 2}, {"logprobs", true}}, "/v1/chat/completions"), HasSubstr("top_logprobs | "));
  EXPECT_THAT(error({{"messages", {{{"role", "tool"}, {"content", "x"}}}}}, "/v1/chat/completions"),
              HasSubstr("messages | "));
  const Json long_prompt = serving.Error("/v1/completions", Json{{"prompt", std::vector<int>(512, 5)}}.dump());
  EXPECT_EQ(long_prompt["code"], "context_length_exceeded");
  const auto message = [&](const std::string& body) {
    return serving.Error("/v1/completions", body)["message"].get<std::string>();
  };
  EXPECT_THAT(message("{\"prompt\": \"x\""), HasSubstr("not JSON at byte"));
  EXPECT_THAT(message("[1]"), HasSubstr("is not a JSON object"));
  EXPECT_THAT(message("{\"prompt\": \"x\", \"temperature\": 1e400}"), HasSubstr("not JSON at byte"));
  const std::string deep = std::string(200'000, '[') + std::string(200'000, ']');
  EXPECT_THAT(message("{\"prompt\": \"x\", \"n\": " + deep + "}"), HasSubstr("nested deeper than"));
  EXPECT_THAT(message("{\"prompt\": \"x\", \"prompt\": \"y\"}"), HasSubstr("twice"));
  EXPECT_LT(message("{\"prompt\": [1, \"" + std::string(100'000, 'x') + "\"]}").size(), 1000u);
  EXPECT_THAT(message("{\"prompt\": \"x\", \"stop\": \"\xC3\"}"), HasSubstr("not UTF-8 at byte 26"));
  EXPECT_THAT(serving.Error("/v1/nothing", "{}", 404)["message"].get<std::string>(), HasSubstr("no such route"));
  EXPECT_EQ(serving.Ask("/v1/completions", kText)["choices"].size(), 1u);
}

// A request of its own thread that goes on for a long time, and whose client leaves when it is told to.
class LongRequest {
 public:
  LongRequest(const Serving& serving, bool stream)
      : client_(serving.Client()), thread_([this, stream] {
          Json request = {{"prompt", "x"}, {"max_tokens", 500}, {"n", 32}, {"ignore_eos", true}, {"stream", stream}};
          httplib::Request post;
          post.method = "POST";
          post.path = "/v1/completions";
          post.body = request.dump();
          post.content_receiver = [this](const char* data, size_t size, uint64_t, uint64_t) {
            body_.append(data, size);
            return !leave_;
          };
          client_.send(post);
        }) {}
  void Leave() {
    leave_ = true;
    client_.stop();
    thread_.join();
  }
  // All that came until the answer's end.
  std::string Wait() {
    thread_.join();
    return body_;
  }

 private:
  std::string body_;
  std::atomic<bool> leave_{false};
  httplib::Client client_;
  std::thread thread_;
};

TEST_F(ServeTest, AClientThatHangsUpFreesTheEngine) {
  const Serving serving(Model(1), {"--batch", "2"});
  double cancelled = 0;
  for (const bool stream : {true, false}) {
    LongRequest request(serving, stream);
    while (serving.Metric("choices_live") < 32) std::this_thread::yield();
    request.Leave();
    const RealClock clock;
    while (serving.Metric("choices_live") > 0) ASSERT_LT(clock.Now(), 20) << "stream: " << stream;
    EXPECT_GT(serving.Metric("choices_cancelled_total"), cancelled) << "they ran to their end";
    cancelled = serving.Metric("choices_cancelled_total");
    EXPECT_EQ(serving.Metric("cache_pages_held"), 0);
  }
  EXPECT_EQ(serving.Ask("/v1/completions", kText)["choices"].size(), 1u);
}

TEST_F(ServeTest, WhoeverWaitsIsToldThatTheServerIsBeingStopped) {
  Serving serving(Model(1), {"--batch", "2"});
  LongRequest streams[] = {{serving, true}, {serving, true}}, whole(serving, false);
  while (serving.Metric("choices_live") < 3 * 32) std::this_thread::yield();
  serving.process().Signal(SIGTERM);
  for (LongRequest* request : {&streams[0], &streams[1], &whole}) {
    EXPECT_THAT(request->Wait(), HasSubstr("the server is being stopped"));
  }
  EXPECT_EQ(serving.process().Wait(), 0);
}

TEST_F(ServeTest, NewWeightsComeBetweenTwoTokens) {
  const Serving serving(Model(1));
  Json request = {{"prompt", "x"}, {"max_tokens", 480}, {"n", 16}, {"ignore_eos", true}, {"stream", true}};
  std::string body;
  bool updated = false;
  httplib::Request post;
  post.method = "POST";
  post.path = "/v1/completions";
  post.body = request.dump();
  post.content_receiver = [&](const char* data, size_t size, uint64_t, uint64_t) {
    body.append(data, size);
    if (updated || body.size() < 2000) return true;
    updated = true;  // in the middle of the stream
    EXPECT_EQ(serving.Ask("/update_weights_from_disk", {{"model_path", Model(2)}})["version"]["number"], 1);
    return true;
  };
  ASSERT_TRUE(serving.Client().send(post));
  std::map<uint32_t, int> tokens;  // by version, of choice 0
  uint32_t newest = 0;
  for (const Json& event : EventsOf(body)) {
    for (const Json& choice : event["choices"]) {
      if (choice["index"] != 0) continue;
      for (const Json& run : choice["versions"]) {
        EXPECT_GE(run["number"], newest);
        newest = run["number"];
        tokens[newest] += run["count"].get<int>();
      }
    }
  }
  EXPECT_EQ(tokens.size(), 2u);
  EXPECT_GT(tokens[0], 0);
  EXPECT_GT(tokens[1], 0);
  EXPECT_EQ(tokens[0] + tokens[1], 480);
  EXPECT_EQ(serving.Metric("weights_version"), 1);
  // What is served now is the other folder.
  Json greedy = {{"prompt", "x"}, {"temperature", 0}, {"logprobs", 0}};
  const Serving other(Model(2));
  EXPECT_EQ(serving.Ask("/v1/completions", greedy)["choices"][0]["logprobs"],
            other.Ask("/v1/completions", greedy)["choices"][0]["logprobs"]);
  EXPECT_THAT(serving.Error("/update_weights_from_disk", R"({"model_path": "nowhere"})")["message"].get<std::string>(),
              HasSubstr("nowhere"));
  EXPECT_THAT(serving.Error("/update_weights_from_disk", R"({"model_path": "tests/policy/goldens/qwen2"})")["message"]
                  .get<std::string>(),
              HasSubstr("another shape"));
}

TEST_F(ServeTest, ARequestEndsAtItsTimeoutAndTheServerWhenItIsTold) {
  Serving serving(Model(1), {"--batch", "1"});
  const Json late = serving.Ask(
      "/v1/completions", {{"prompt", "x"}, {"max_tokens", 500}, {"n", 128}, {"ignore_eos", true}, {"timeout", 0.1}});
  EXPECT_EQ(late["choices"][127]["finish_reason"], "timeout");
  serving.process().Signal(SIGTERM);
  EXPECT_EQ(serving.process().Wait(), 0) << serving.process().said();
  TandemProcess nowhere({"serve", Model(1), "--host", "192.0.2.1"});
  EXPECT_EQ(nowhere.Wait(), 2);
  EXPECT_THAT(nowhere.said(), HasSubstr("192.0.2.1:8000: cannot listen there"));
}

}  // namespace
}  // namespace tandem
