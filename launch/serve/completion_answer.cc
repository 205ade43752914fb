#include "launch/serve/completion_answer.h"

#include <algorithm>
#include <atomic>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "policy/tokenizer/utf8.h"

namespace tandem {
namespace {

using Json = nlohmann::ordered_json;

std::string NewId(bool chat) {
  static std::atomic<uint64_t> next{0};
  return absl::StrCat(chat ? "chatcmpl-" : "cmpl-", absl::Hex(static_cast<uint64_t>(std::time(nullptr))), "-", ++next);
}

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string TokenText(const ServedModel& model, int32_t id) { return Utf8Lossy(model.tokenizer->Bytes(id)); }

Json ChatLogprobs(const GenerationPiece& piece, const ServedModel& model) {
  Json content = Json::array();
  for (size_t i = 0; i < piece.ids.size(); ++i) {
    Json bytes = Json::array();
    for (const char c : model.tokenizer->Bytes(piece.ids[i])) bytes.push_back(static_cast<unsigned char>(c));
    content.push_back({{"token", TokenText(model, piece.ids[i])},
                       {"logprob", piece.model_logprobs[i]},
                       {"bytes", bytes},
                       {"top_logprobs", Json::array()}});
  }
  return {{"content", content}};
}

// `offset`: characters of the text before the piece; goes on by those of its tokens.
Json TextLogprobs(const GenerationPiece& piece, const ServedModel& model, size_t* offset) {
  Json tokens = Json::array(), offsets = Json::array();
  for (const int32_t id : piece.ids) {
    tokens.push_back(TokenText(model, id));
    offsets.push_back(*offset);
    if (model.tokenizer->Special(id)) continue;
    const std::string_view bytes = model.tokenizer->Bytes(id);
    *offset += std::count_if(bytes.begin(), bytes.end(), [](char c) { return (c & 0xC0) != 0x80; });
  }
  return {{"tokens", tokens},
          {"token_logprobs", piece.model_logprobs},
          {"top_logprobs", nullptr},
          {"text_offset", offsets}};
}

Json Versions(const VersionRuns& runs) {
  Json versions = Json::array();
  for (const VersionCount& run : runs) {
    versions.push_back(
        {{"incarnation", run.version.incarnation}, {"number", run.version.number}, {"count", run.count}});
  }
  return versions;
}

// A choice, or the part of it that a chunk of a stream has.
Json ChoiceJson(const CompletionRequest& request, const ServedModel& model, const GenerationPiece& piece, bool chunk,
                size_t* offset) {
  Json choice = {{"index", piece.choice}};
  if (!request.chat) {
    choice["text"] = piece.text;
  } else if (chunk) {
    choice["delta"] = piece.text.empty() ? Json::object() : Json{{"content", piece.text}};
  } else {
    choice["message"] = {{"role", "assistant"}, {"content", piece.text}, {"refusal", nullptr}};
  }
  choice["logprobs"] = nullptr;
  if (request.logprobs) {
    choice["logprobs"] = request.chat ? ChatLogprobs(piece, model) : TextLogprobs(piece, model, offset);
    choice["sampled_logprobs"] = piece.sampled_logprobs;
  }
  choice["finish_reason"] = piece.finish.empty() ? Json() : Json(piece.finish);
  if (!piece.finish.empty()) choice["stop_reason"] = piece.stop_string.empty() ? Json() : Json(piece.stop_string);
  if (request.return_token_ids) {
    if (!request.chat && !chunk) choice["prompt_token_ids"] = request.PromptOf(piece.choice);
    choice["token_ids"] = piece.ids;
  }
  choice["versions"] = Versions(piece.versions);
  return choice;
}

}  // namespace

std::string ServerSentEvent(const std::string& data) { return absl::StrCat("data: ", data, "\n\n"); }

CompletionAnswer::CompletionAnswer(const CompletionRequest& request, const ServedModel& model)
    : request_(request),
      model_(model),
      id_(NewId(request.chat)),
      created_(std::time(nullptr)),
      choices_(request.choices()) {}

namespace {

Json Envelope(const std::string& id, const char* object, int64_t created, const ServedModel& model) {
  return {{"id", id}, {"object", object}, {"created", created}, {"model", model.name}, {"choices", Json::array()}};
}

const char* ObjectName(bool chat, bool chunk) {
  if (!chat) return "text_completion";
  return chunk ? "chat.completion.chunk" : "chat.completion";
}

Json Usage(size_t prompt, size_t output) {
  return {{"prompt_tokens", prompt}, {"completion_tokens", output}, {"total_tokens", prompt + output}};
}

}  // namespace

std::string CompletionAnswer::FirstEvents() {
  if (!request_.chat && !request_.return_token_ids) return "";
  std::string events;
  for (size_t i = 0; i < choices_.size(); ++i) {
    Json chunk = Envelope(id_, ObjectName(request_.chat, true), created_, model_);
    Json choice = {{"index", i}};
    if (request_.chat) {
      choice["delta"] = {{"role", "assistant"}, {"content", ""}};
      if (request_.return_token_ids) chunk["prompt_token_ids"] = request_.PromptOf(i);
    } else {
      choice["text"] = "";
      choice["prompt_token_ids"] = request_.PromptOf(i);
    }
    choice["logprobs"] = nullptr;
    choice["finish_reason"] = nullptr;
    chunk["choices"].push_back(std::move(choice));
    events += ServerSentEvent(Dump(chunk));
  }
  return events;
}

std::string CompletionAnswer::Add(const GenerationPiece& piece) {
  Choice& choice = choices_[piece.choice];
  choice.all.Append(piece);
  ended_ += piece.finish.empty() ? 0 : 1;
  if (!request_.stream) return "";
  choice.unsent.Append(piece);
  const bool tokens = request_.logprobs || request_.return_token_ids;
  if (choice.unsent.text.empty() && choice.unsent.finish.empty() && !tokens) return "";
  Json chunk = Envelope(id_, ObjectName(request_.chat, true), created_, model_);
  chunk["choices"].push_back(
      ChoiceJson(request_, model_, std::exchange(choice.unsent, {}), /*chunk=*/true, &choice.offset));
  return ServerSentEvent(Dump(chunk));
}

std::string CompletionAnswer::LastEvents() {
  std::string events;
  if (request_.include_usage) {
    Json chunk = Envelope(id_, ObjectName(request_.chat, true), created_, model_);
    size_t prompt = 0, output = 0;
    for (const auto& ids : request_.prompts) prompt += ids.size();
    for (const Choice& choice : choices_) output += choice.all.ids.size();
    chunk["usage"] = Usage(prompt, output);
    events += ServerSentEvent(Dump(chunk));
  }
  return events + ServerSentEvent("[DONE]");
}

std::string CompletionAnswer::Whole() const {
  Json answer = Envelope(id_, ObjectName(request_.chat, false), created_, model_);
  size_t prompt = 0, output = 0;
  for (const auto& ids : request_.prompts) prompt += ids.size();
  for (const Choice& choice : choices_) {
    size_t offset = 0;
    answer["choices"].push_back(ChoiceJson(request_, model_, choice.all, /*chunk=*/false, &offset));
    output += choice.all.ids.size();
  }
  answer["usage"] = Usage(prompt, output);
  if (request_.chat && request_.return_token_ids) answer["prompt_token_ids"] = request_.prompts[0];
  return Dump(answer);
}

}  // namespace tandem
