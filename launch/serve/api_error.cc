#include "launch/serve/api_error.h"

#include <nlohmann/json.hpp>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace tandem {
namespace {

constexpr char kKey[] = "key", kCode[] = "code";

nlohmann::ordered_json Payload(const absl::Status& error, const char* name) {
  const auto payload = error.GetPayload(name);
  return payload ? nlohmann::ordered_json(std::string(*payload)) : nlohmann::ordered_json();
}

}  // namespace

absl::Status BadKey(std::string_view key, std::string_view message, std::string_view code) {
  absl::Status error = absl::InvalidArgumentError(absl::StrCat(std::string(key), ": ", std::string(message)));
  error.SetPayload(kKey, absl::Cord(std::string(key)));
  if (!code.empty()) error.SetPayload(kCode, absl::Cord(std::string(code)));
  return error;
}

int HttpStatus(const absl::Status& error) {
  switch (error.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
      return 400;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kUnavailable:
      return 503;
    default:
      return 500;
  }
}

std::string ErrorBody(const absl::Status& error) {
  const int status = HttpStatus(error);
  nlohmann::ordered_json body;
  body["error"] = {{"message", std::string(error.message())},
                   {"type", status < 500 ? "invalid_request_error" : "server_error"},
                   {"param", Payload(error, kKey)},
                   {"code", Payload(error, kCode)}};
  return body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace tandem
