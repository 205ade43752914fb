#include "launch/serve/completion_request.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "launch/serve/api_error.h"
#include "launch/serve/request_fields.h"
#include "policy/files/strict_json.h"

namespace tandem {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<int32_t>;

constexpr int64_t kMostChoices = 1024;
constexpr size_t kMostStops = 64;

absl::Status CheckLength(const Ids& prompt, const char* key, const ServedModel& model) {
  const auto size = static_cast<int64_t>(prompt.size()), context = model.folder.shape().context;
  if (size < 1) return BadKey(key, "is empty: expected at least one token");
  if (size < context) return absl::OkStatus();
  return BadKey(key,
                absl::StrCat("has ", size, " tokens; the model's context is ", context,
                             ", of which at least one is left for the answer"),
                "context_length_exceeded");
}

absl::StatusOr<Ids> ReadIds(const Json& list, const std::string& key, const ServedModel& model) {
  Ids ids;
  for (const Json& id : list) {
    if (!id.is_number_integer() || id < 0 || id >= model.folder.shape().vocabulary) {
      return BadKey(key, absl::StrCat("id ", ids.size(), " is ", QuoteJson(id), ", expected a token id from 0 to ",
                                      model.folder.shape().vocabulary - 1));
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

absl::StatusOr<Ids> ReadPrompt(const Json& prompt, const ServedModel& model) {
  if (prompt.is_array()) return ReadIds(prompt, "prompt", model);
  absl::StatusOr<Ids> ids = model.tokenizer->Encode(prompt.get<std::string>(), {.add_special_tokens = true});
  if (!ids.ok()) return BadKey("prompt", std::string(ids.status().message()));
  return ids;
}

// A text, a list of texts, a list of ids, or a list of lists of ids.
absl::Status ReadPrompts(RequestFields& fields, const ServedModel& model, CompletionRequest* request) {
  const Json* prompt = fields.Find("prompt");
  if (prompt == nullptr) return BadKey("prompt", "is missing: expected text, token ids, or a list of them");
  std::vector<Json> prompts;
  const bool single = prompt->is_string() || (prompt->is_array() && !prompt->empty() && (*prompt)[0].is_number());
  if (single) {
    prompts = {*prompt};
  } else if (prompt->is_array()) {
    prompts.assign(prompt->begin(), prompt->end());
  }
  if (prompts.empty()) return BadKey("prompt", "expected text, token ids, or a list of them");
  for (const Json& one : prompts) {
    if (!one.is_string() && !one.is_array()) return BadKey("prompt", "expected text, token ids, or a list of them");
    TANDEM_ASSIGN_OR_RETURN(Ids ids, ReadPrompt(one, model));
    TANDEM_RETURN_IF_ERROR(CheckLength(ids, "prompt", model));
    request->prompts.push_back(std::move(ids));
  }
  return absl::OkStatus();
}

// A string, or a list of parts of type text.
absl::StatusOr<std::string> ReadContent(const Json& content, const std::string& key) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) return BadKey(key, "expected a string, or a list of parts of type text");
  std::string text;
  for (const Json& part : content) {
    if (!part.is_object() || part.value("type", Json()) != "text" || !part.value("text", Json()).is_string()) {
      return BadKey(key, "expected parts of type text: this model reads nothing else");
    }
    text += part["text"].get<std::string>();
  }
  return text;
}

absl::Status ReadMessages(RequestFields& fields, const ServedModel& model, CompletionRequest* request) {
  if (!model.chat) {
    return BadKey("messages", absl::StrCat(model.name, " has no chat template: expected /v1/completions"));
  }
  const Json* messages = fields.Find("messages");
  if (messages == nullptr || !messages->is_array()) return BadKey("messages", "expected a list of messages");
  std::vector<ChatMessage> conversation;
  for (const Json& message : *messages) {
    const std::string key = absl::StrCat("messages[", conversation.size(), "]");
    if (!message.is_object() || !message.value("role", Json()).is_string() || !message.contains("content")) {
      return BadKey(key, "expected an object with role and content");
    }
    for (const auto& [name, value] : message.items()) {
      if (name == "role" || name == "content" || name == "name" || value.is_null() || value.empty()) continue;
      return BadKey(key + "." + name, "is not supported: expected role and content");
    }
    TANDEM_ASSIGN_OR_RETURN(std::string content, ReadContent(message["content"], key + ".content"));
    conversation.push_back({.role = message["role"], .content = std::move(content)});
  }
  ChatOptions options;
  if (const Json* given = fields.Find("chat_template_kwargs")) {
    RequestFields below(given->is_object() ? *given : Json{{"", 0}}, "chat_template_kwargs");
    options.enable_thinking = below.Flag("enable_thinking", true);
    TANDEM_RETURN_IF_ERROR(below.Finish());
  }
  absl::StatusOr<RenderedIds> rendered = model.chat->RenderIds(*model.tokenizer, conversation, options);
  if (!rendered.ok()) return BadKey("messages", std::string(rendered.status().message()));
  TANDEM_RETURN_IF_ERROR(CheckLength(rendered->ids, "messages", model));
  request->prompts = {std::move(rendered->ids)};
  return absl::OkStatus();
}

absl::Status ReadStops(RequestFields& fields, const ServedModel& model, CompletionRequest* request) {
  std::vector<std::string> strings;
  if (const Json* stop = fields.Find("stop")) {
    for (const Json& one : stop->is_array() ? *stop : Json::array({*stop})) {
      if (!one.is_string()) return BadKey("stop", "expected a string, or a list of strings");
      strings.push_back(one.get<std::string>());
    }
    if (strings.size() > kMostStops) return BadKey("stop", absl::StrCat("expected ", kMostStops, " strings at most"));
    absl::StatusOr<StopStrings> stops = StopStrings::Create(std::move(strings));
    if (!stops.ok()) return BadKey("stop", std::string(stops.status().message()));
    request->stops = *std::move(stops);
  }
  std::vector<int32_t>& ids = request->sampling.stop_ids;
  if (const Json* given = fields.Find("stop_token_ids")) {
    if (!given->is_array() || given->size() > kMostStops) {
      return BadKey("stop_token_ids", absl::StrCat("expected a list of token ids, ", kMostStops, " at most"));
    }
    TANDEM_ASSIGN_OR_RETURN(ids, ReadIds(*given, "stop_token_ids", model));
  }
  if (fields.Flag("ignore_eos", false)) return absl::OkStatus();
  ids.insert(ids.end(), model.folder.eos_ids().begin(), model.folder.eos_ids().end());
  if (!request->chat) return absl::OkStatus();
  if (const auto end = model.tokenizer->TokenId(model.chat->end_of_turn())) ids.push_back(*end);
  return absl::OkStatus();
}

absl::Status ReadLogprobs(RequestFields& fields, CompletionRequest* request) {
  constexpr char kOnlyOwn[] =
      "only the log-probability of the token that was written is kept, not those of others that were likely: expected ";
  if (request->chat) {
    request->logprobs = fields.Flag("logprobs", false);
    if (fields.Integer("top_logprobs", 0, 0, 1000) > 0) return BadKey("top_logprobs", absl::StrCat(kOnlyOwn, 0));
    return absl::OkStatus();
  }
  const int64_t likeliest = fields.Integer("logprobs", -1, 0, 1000);
  if (likeliest > 0) return BadKey("logprobs", absl::StrCat(kOnlyOwn, 0));
  request->logprobs = likeliest == 0;
  return absl::OkStatus();
}

void ReadSampling(RequestFields& fields, const ServedModel& model, CompletionRequest* request) {
  GenerateRequest& sampling = request->sampling;
  const int64_t context = model.folder.shape().context;
  sampling.temperature = static_cast<float>(fields.Number("temperature", 1, 0, 1e6));
  sampling.filter.top_p = static_cast<float>(fields.Number("top_p", 1, 0, 1));
  sampling.filter.min_p = static_cast<float>(fields.Number("min_p", 0, 0, 1));
  const int64_t top_k = fields.Integer("top_k", 0, -1, 1 << 30);  // vLLM's -1 is all, as 0
  sampling.filter.top_k = static_cast<int32_t>(std::max<int64_t>(top_k, 0));
  // OpenAI's defaults: 16 tokens of a text, a chat to its end.
  const int64_t most = fields.Integer("max_tokens", request->chat ? context : 16, 1, 1 << 30);
  sampling.max_new_tokens =
      static_cast<int32_t>(request->chat ? fields.Integer("max_completion_tokens", most, 1, 1 << 30) : most);
  if (const Json* seed = fields.Find("seed")) {
    if (seed->is_number_integer()) {
      request->seed = seed->is_number_unsigned() ? seed->get<uint64_t>() : static_cast<uint64_t>(seed->get<int64_t>());
    } else {
      fields.Fail(BadKey("seed", "expected a whole number"));
    }
  }
  request->n = fields.Integer("n", 1, 1, 128);
  request->timeout_s = fields.Number("timeout", request->timeout_s, 0.001, 1e9);
}

// What OpenAI and vLLM know beyond that: as long as it changes nothing.
void ReadTheRest(RequestFields& fields) {
  fields.Ignore({"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
                 "prompt_cache_retention", "parallel_tool_calls", "verbosity", "request_id", "priority"});
  for (const char* key : {"frequency_penalty", "presence_penalty"}) fields.Neutral(key, {0}, "0");
  for (const char* key : {"repetition_penalty", "length_penalty"}) fields.Neutral(key, {1}, "1");
  fields.Neutral("logit_bias", {Json::object()}, "none");
  for (const char* key : {"tools", "functions"}) fields.Neutral(key, {Json::array()}, "none");
  for (const char* key : {"tool_choice", "function_call"}) fields.Neutral(key, {"none", "auto"}, "none");
  fields.Neutral("response_format", {Json{{"type", "text"}}}, "{\"type\": \"text\"}");
  for (const char* key : {"echo", "use_beam_search", "include_stop_str_in_output"})
    fields.Neutral(key, {false}, "false");
  fields.Neutral("suffix", {""}, "none");
  fields.Neutral("best_of", {1}, "1 (n says how many choices there are)");
  fields.Neutral("min_tokens", {0}, "0");
  fields.Neutral("modalities", {Json::array({"text"})}, "[\"text\"]");
}

}  // namespace

absl::StatusOr<CompletionRequest> ParseCompletion(const std::string& body, bool chat, const ServedModel& model) {
  TANDEM_ASSIGN_OR_RETURN(RequestFields fields, RequestFields::Parse(body));
  if (const std::string asked = fields.Text("model", model.name); asked != model.name) {
    return absl::NotFoundError(absl::StrCat("there is no model ", asked, "; this is ", model.name));
  }
  CompletionRequest request;
  request.chat = chat;
  ReadSampling(fields, model, &request);
  TANDEM_RETURN_IF_ERROR(fields.error());
  TANDEM_RETURN_IF_ERROR(chat ? ReadMessages(fields, model, &request) : ReadPrompts(fields, model, &request));
  TANDEM_RETURN_IF_ERROR(ReadStops(fields, model, &request));
  TANDEM_RETURN_IF_ERROR(ReadLogprobs(fields, &request));
  request.stream = fields.Flag("stream", false);
  request.return_token_ids = fields.Flag("return_token_ids", false);
  if (const Json* options = fields.Find("stream_options")) {
    if (!request.stream || !options->is_object()) {
      return BadKey("stream_options", "expected an object, together with \"stream\": true");
    }
    RequestFields below(*options, "stream_options");
    request.include_usage = below.Flag("include_usage", false);
    below.Ignore({"include_obfuscation", "continuous_usage_stats"});
    TANDEM_RETURN_IF_ERROR(below.Finish());
  }
  ReadTheRest(fields);
  TANDEM_RETURN_IF_ERROR(fields.Finish());
  if (static_cast<int64_t>(request.choices()) > kMostChoices) {
    return BadKey("n", absl::StrCat(request.choices(), " choices in all: expected ", kMostChoices, " at most"));
  }
  return request;
}

}  // namespace tandem
