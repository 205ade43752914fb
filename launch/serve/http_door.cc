#include "launch/serve/http_door.h"

#include <httplib.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status.h"
#include "launch/serve/api_error.h"
#include "launch/serve/completion_answer.h"
#include "launch/serve/completion_request.h"
#include "launch/serve/request_fields.h"

namespace tandem {
namespace {

constexpr double kLook_s = 0.1;  // how often it is looked whether the client is still there
constexpr char kJson[] = "application/json";

// One request while it is answered.
struct Conversation {
  Conversation(CompletionRequest asked, const ServedModel& model) : request(std::move(asked)), answer(request, model) {}
  const CompletionRequest request;
  CompletionAnswer answer;
  std::unique_ptr<Generation> generation;
  bool began = false;
};

void Refuse(const absl::Status& error, httplib::Response& response) {
  response.status = HttpStatus(error);
  response.set_content(ErrorBody(error), kJson);
}

bool Send(httplib::DataSink& sink, const std::string& text) {
  return text.empty() || sink.write(text.data(), text.size());
}

// Sends what has come since it was last called, kLook_s later at the latest. False: the client has gone.
bool GoOn(Conversation& talk, httplib::DataSink& sink) {
  if (!std::exchange(talk.began, true) && talk.request.stream && !Send(sink, talk.answer.FirstEvents())) return false;
  const auto pieces = talk.generation->Next(kLook_s);
  if (!pieces.ok()) {
    LogWarning("a request ended: ", std::string(pieces.status().message()));
    // The status was sent before: what went wrong stands where the answer would.
    const std::string error = ErrorBody(pieces.status());
    if (!Send(sink, talk.request.stream ? ServerSentEvent(error) : error)) return false;
    sink.done();
    return true;
  }
  std::string events;
  for (const GenerationPiece& piece : *pieces) events += talk.answer.Add(piece);
  if (talk.answer.done()) {
    if (!Send(sink, talk.request.stream ? events + talk.answer.LastEvents() : talk.answer.Whole())) return false;
    sink.done();
    return true;
  }
  return Send(sink, events) && sink.is_writable();
}

// The next version's weights, out of a folder with a model of the same shape.
absl::StatusOr<VersionId> UpdateWeights(const std::string& body, const ServedModel& model, GenerationService* service) {
  TANDEM_ASSIGN_OR_RETURN(RequestFields fields, RequestFields::Parse(body));
  const std::string path = fields.Text("model_path", "");
  fields.Ignore(
      {"load_format", "abort_all_requests", "weight_version", "flush_cache", "token_step", "recapture_cuda_graph"});
  TANDEM_RETURN_IF_ERROR(fields.Finish());
  if (path.empty()) return BadKey("model_path", "is missing: expected a model folder");
  const auto folder = LoadModelFolder(path);
  if (!folder.ok()) return BadKey("model_path", std::string(folder.status().message()));
  if (!(folder->shape() == model.folder.shape())) {
    return BadKey("model_path", absl::StrCat(path, ": its config.json has another shape than that of ",
                                             model.folder.path, ", which is served"));
  }
  const auto count = static_cast<size_t>(ParameterCount(folder->shape()));
  const std::unique_ptr<float[]> weights(new float[count]);
  const absl::Status read = ReadWeights(*folder, {weights.get(), count});
  if (!read.ok()) return BadKey("model_path", std::string(read.message()));
  if (!std::all_of(weights.get(), weights.get() + count, [](float w) { return std::isfinite(w); })) {
    return BadKey("model_path", absl::StrCat(path, ": not all of its weights are finite"));
  }
  return service->Install({weights.get(), count});
}

std::string MetricsText(const ServiceCounts& counts) {
  std::string text;
  const auto add = [&text](const char* name, const char* kind, const char* help, uint64_t value) {
    absl::StrAppend(&text, "# HELP tandem_", name, " ", help, "\n# TYPE tandem_", name, " ", kind, "\ntandem_", name,
                    " ", value, "\n");
  };
  add("requests_total", "counter", "Requests taken.", counts.requests);
  add("choices_total", "counter", "Choices of all requests.", counts.choices);
  add("choices_cancelled_total", "counter", "Choices whose client had gone.", counts.cancelled);
  add("tokens_generated_total", "counter", "Tokens generated.", counts.tokens);
  add("preemptions_total", "counter", "Choices that gave their cache back for others.", counts.preemptions);
  add("choices_live", "gauge", "Choices queued or being decoded.", counts.live);
  add("cache_pages_held", "gauge", "Pages of the key-value cache that live choices hold.",
      static_cast<uint64_t>(counts.pages_held));
  add("weights_version", "gauge", "Number of the version that is served.", counts.version.number);
  return text;
}

}  // namespace

class HttpDoor::Impl {
 public:
  Impl(const ServedModel& model, GenerationService* service, size_t clients) : model_(model), service_(*service) {
    server_.new_task_queue = [clients] { return new httplib::ThreadPool(clients); };
    // The library's own choice would let two servers share a port.
    server_.set_socket_options([](socket_t socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    server_.set_tcp_nodelay(true);
    server_.set_payload_max_length(64 << 20);
    server_.set_write_timeout(30);
    server_.set_exception_handler([](const auto&, httplib::Response& response, const std::exception_ptr&) {
      Refuse(absl::InternalError("the server made a mistake"), response);
    });
    server_.set_error_handler([](const httplib::Request& request, httplib::Response& response) {
      if (!response.body.empty()) return;
      const int status = response.status;
      const char* what = status == 404   ? "there is no such route"
                         : status == 413 ? "the request is too long: 64 MB at most, and 8 KB where its Content-Type is "
                                           "that of a form, as curl's is; expected application/json"
                                         : "the request cannot be read";
      Refuse(absl::NotFoundError(absl::StrCat(request.method, " ", request.path, ": ", what)), response);
      response.status = status;
    });
    AddRoutes();
  }

  httplib::Server& server() { return server_; }

 private:
  void AddRoutes() {
    server_.Get("/health", [](const auto&, httplib::Response& response) { response.set_content("{}", kJson); });
    server_.Get("/v1/models", [this](const auto&, httplib::Response& response) {
      const nlohmann::ordered_json answer = {{"object", "list"}, {"data", nlohmann::ordered_json::array({Model()})}};
      SetJson(answer, response);
    });
    server_.Get("/v1/models/(.+)", [this](const httplib::Request& request, httplib::Response& response) {
      if (request.matches[1] == model_.name) return SetJson(Model(), response);
      Refuse(absl::NotFoundError(absl::StrCat("there is no such model; this is ", model_.name)), response);
    });
    server_.Get("/metrics", [this](const auto&, httplib::Response& response) {
      response.set_content(MetricsText(service_.Counts()), "text/plain; version=0.0.4");
    });
    for (const bool chat : {false, true}) {
      server_.Post(chat ? "/v1/chat/completions" : "/v1/completions",
                   [this, chat](const httplib::Request& request, httplib::Response& response) {
                     Complete(request.body, chat, response);
                   });
    }
    server_.Post("/update_weights_from_disk", [this](const httplib::Request& request, httplib::Response& response) {
      const auto version = UpdateWeights(request.body, model_, &service_);
      if (!version.ok()) return Refuse(version.status(), response);
      LogInfo("version ", version->incarnation, ".", version->number, " is served");
      const nlohmann::ordered_json answer = {
          {"success", true},
          {"message", absl::StrCat("version ", version->incarnation, ".", version->number, " is served")},
          {"version", {{"incarnation", version->incarnation}, {"number", version->number}}}};
      response.set_content(answer.dump(), kJson);
    });
  }

  nlohmann::ordered_json Model() const {
    return {{"id", model_.name},
            {"object", "model"},
            {"created", model_.created},
            {"owned_by", "tandem"},
            {"max_model_len", model_.folder.shape().context}};
  }
  static void SetJson(const nlohmann::ordered_json& json, httplib::Response& response) {
    response.set_content(json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace), kJson);
  }

  // What is wrong with a request is said before the answer begins. An answer, streamed or not, is sent from a provider:
  // only there can it be seen that the client has gone.
  void Complete(const std::string& body, bool chat, httplib::Response& response) {
    auto request = ParseCompletion(body, chat, model_);
    if (!request.ok()) return Refuse(request.status(), response);
    const auto talk = std::make_shared<Conversation>(*std::move(request), model_);
    talk->generation = service_.Begin(talk->request);
    response.set_chunked_content_provider(
        talk->request.stream ? "text/event-stream" : kJson,
        [talk](size_t, httplib::DataSink& sink) { return GoOn(*talk, sink); },
        [talk](bool) { talk->generation.reset(); });
  }

  const ServedModel& model_;
  GenerationService& service_;
  httplib::Server server_;
};

HttpDoor::HttpDoor(const ServedModel& model, GenerationService* service, size_t clients)
    : impl_(std::make_unique<Impl>(model, service, clients)) {}

HttpDoor::~HttpDoor() = default;

absl::StatusOr<int> HttpDoor::Bind(const std::string& host, int port) {
  httplib::Server& server = impl_->server();
  const int bound = port == 0 ? server.bind_to_any_port(host) : server.bind_to_port(host, port) ? port : -1;
  if (bound > 0) return bound;
  return absl::UnavailableError(
      absl::StrCat(host, ":", port, ": cannot listen there; is the port in use, or the host another machine?"));
}

void HttpDoor::Listen() { impl_->server().listen_after_bind(); }
void HttpDoor::Stop() { impl_->server().stop(); }

}  // namespace tandem
