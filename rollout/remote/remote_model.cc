#include "rollout/remote/remote_model.h"

#include <httplib.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/clock.h"
#include "base/status.h"
#include "policy/files/strict_json.h"
#include "policy/tokenizer/utf8.h"

namespace tandem {
namespace {

using Json = nlohmann::json;

constexpr size_t kLongestAnswer = 16 << 20;  // bytes
constexpr double kMargin_s = 0.02;
constexpr double kConnect_s = 10;

std::chrono::microseconds Micros(double seconds) {
  return std::chrono::microseconds(static_cast<int64_t>(seconds * 1e6));
}

// What a server says of an error, short enough for one line.
std::string Said(const std::string& body) {
  const absl::StatusOr<Json> json = ParseStrictJson("the answer", body);
  std::string text = body;
  if (json.ok() && json->contains("error")) {
    const Json& error = (*json)["error"];
    const Json message = error.is_object() && error.contains("message") ? error["message"] : error;
    text =
        message.is_string() ? message.get<std::string>() : message.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  for (char& c : text) c = static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  return Utf8Lossy(text.substr(0, 200));
}

// The first choice of a chat completion. False: there is none.
bool ReadAnswer(const std::string& body, RemoteReply* reply) {
  const absl::StatusOr<Json> parsed = ParseStrictJson("the answer", body);
  if (!parsed.ok()) return false;
  const Json& json = *parsed;
  if (!json.contains("choices") || !json["choices"].is_array() || json["choices"].empty()) {
    return false;
  }
  const Json& choice = json["choices"][0];
  if (!choice.is_object() || !choice.contains("message") || !choice["message"].is_object()) return false;
  const Json content = choice["message"].value("content", Json());
  if (!content.is_string()) return false;
  reply->answer.set_text(content.get<std::string>());
  const Json finish = choice.value("finish_reason", Json());
  reply->stopped = finish == "stop" || finish == "eos" || finish == "end_turn";
  // Tokens only where all of them came.
  const Json ids = choice.value("token_ids", Json());
  for (const Json& id : ids.is_array() ? ids : Json::array()) {
    if (!id.is_number_integer()) break;
    reply->answer.add_token_ids(id.get<int32_t>());
  }
  const Json logprobs = choice.value("logprobs", Json());
  const Json tokens = logprobs.is_object() ? logprobs.value("content", Json()) : Json();
  for (const Json& token : tokens.is_array() ? tokens : Json::array()) {
    const Json logprob = token.is_object() ? token.value("logprob", Json()) : Json();
    if (!logprob.is_number() || !std::isfinite(logprob.get<float>())) break;
    reply->answer.add_logprobs(logprob.get<float>());
  }
  if (ids.is_array() && reply->answer.token_ids_size() != static_cast<int>(ids.size())) reply->answer.clear_token_ids();
  if (tokens.is_array() && reply->answer.logprobs_size() != static_cast<int>(tokens.size())) {
    reply->answer.clear_logprobs();
  }
  return true;
}

}  // namespace

absl::StatusOr<RemoteUrl> ParseRemoteUrl(const std::string& url) {
  const bool tls = absl::StartsWith(url, "https://");
  const size_t host = tls ? 8 : 7;
  const bool plain = url.find_first_of(" \t\r\n?#@\"") == std::string::npos;
  if ((!tls && !absl::StartsWith(url, "http://")) || url.size() <= host || url[host] == '/' || !plain) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected http://HOST:PORT/v1 or https://HOST/v1, found \"", url, "\""));
  }
#ifndef CPPHTTPLIB_OPENSSL_SUPPORT
  if (tls) return absl::InvalidArgumentError("this build has no TLS (httplib without OpenSSL): expected http://");
#endif
  const size_t path = std::min(url.find('/', host), url.size());
  return RemoteUrl{url.substr(0, path), std::string(absl::StripSuffix(url.substr(path), "/"))};
}

absl::StatusOr<std::string> RemoteKey(const proto::RemoteConfig& config) {
  if (config.api_key_env().empty()) return "";
  const char* key = std::getenv(config.api_key_env().c_str());
  if (key == nullptr) return absl::NotFoundError(absl::StrCat("the environment has no ", config.api_key_env()));
  const std::string_view text(key);
  const auto printable = [](char c) { return c > ' ' && c < 127; };
  if (!text.empty() && std::ranges::all_of(text, printable)) return key;
  return absl::InvalidArgumentError(
      absl::StrCat(config.api_key_env(), " of the environment is empty or has characters that no key has"));
}

RemoteModel::RemoteModel(const proto::RemoteConfig& config, RemoteUrl url, std::string key)
    : config_(config), url_(std::move(url)), key_(std::move(key)) {}

std::string RemoteModel::name() const { return absl::StrCat(config_.url(), " (model ", config_.model(), ")"); }

std::string RemoteModel::Body(const RemoteQuestion& question, bool with_tokens) const {
  Json messages = Json::array();
  if (!config_.system().empty()) messages.push_back({{"role", "system"}, {"content", config_.system()}});
  messages.push_back({{"role", "user"}, {"content", question.prompt}});
  Json body = {{"model", config_.model()},
               {"messages", messages},
               {"temperature", config_.temperature()},
               {"max_tokens", question.max_tokens},
               {"seed", question.seed}};
  if (with_tokens) {
    body["logprobs"] = true;
    body["return_token_ids"] = true;
  }
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

RemoteReply RemoteModel::Ask(const RemoteQuestion& question, const std::function<void(httplib::Client*)>& use) {
  const RealClock clock;
  RemoteReply reply;
  reply.answer.set_model(config_.model());
  reply.answer.set_prompt(question.prompt);
  const auto fault = [&](const char* kind, const std::string& what) {
    reply.fault = kind;
    reply.detail = absl::StrCat(name(), ": ", what);
    return reply;
  };
  // Servers that know no token ids or log-probabilities may refuse to be asked for them: then the text will do.
  for (const bool with_tokens : {true, false}) {
    const double left_s = config_.timeout_s() - clock.Now();
    if (left_s <= 0) break;
    httplib::Client client(url_.origin);
    client.set_connection_timeout(Micros(std::min(kConnect_s, left_s)));
    // A little more than is left: whoever waited in vain then finds that the time is over.
    client.set_read_timeout(Micros(left_s + kMargin_s));
    client.set_write_timeout(Micros(left_s + kMargin_s));
    client.set_tcp_nodelay(true);
    if (!key_.empty()) client.set_bearer_token_auth(key_);
    std::string body;
    httplib::Request request;
    request.method = "POST";
    request.path = url_.path + "/chat/completions";
    request.set_header("Content-Type", "application/json");
    request.set_header("Connection", "close");
    request.body = Body(question, with_tokens);
    request.content_receiver = [&](const char* data, size_t size, uint64_t, uint64_t) {
      body.append(data, size);
      return body.size() <= kLongestAnswer && clock.Now() < config_.timeout_s();
    };
    use(&client);
    const httplib::Result result = client.send(request);
    use(nullptr);
    if (!result) {
      if (clock.Now() >= config_.timeout_s()) break;
      return fault("remote_unreachable", absl::StrCat("cannot be reached (", httplib::to_string(result.error()), ")"));
    }
    if (result->status == 200) {
      if (ReadAnswer(body, &reply)) return reply;
      return fault("remote_malformed", absl::StrCat("its answer is no chat completion: ", Said(body)));
    }
    const std::string said = absl::StrCat("status ", result->status, ": ", Said(body));
    if (result->status == 429 || result->status >= 500) return fault("remote_failed", said);
    if (!with_tokens || (result->status != 400 && result->status != 422)) return fault("remote_refused", said);
  }
  return fault("remote_timeout", absl::StrCat("no answer within ", config_.timeout_s(), " s"));
}

bool MayBeRetried(const RemoteReply& reply) {
  return reply.fault == "remote_unreachable" || reply.fault == "remote_timeout" || reply.fault == "remote_failed";
}

}  // namespace tandem
