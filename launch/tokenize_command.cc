#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "launch/commands.h"
#include "launch/request_file.h"
#include "policy/tokenizer/open_tokenizer.h"

namespace tandem {
namespace {

absl::Status TokenizeAll(const TokenizeFlags& flags) {
  TANDEM_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer, OpenTokenizer(flags.model));
  TANDEM_ASSIGN_OR_RETURN(const std::vector<RequestLine> lines, ReadRequests(flags.input, {"text"}));
  for (const RequestLine& line : lines) {
    TANDEM_ASSIGN_OR_RETURN(const std::string text, AtLine(line, TextOf(line.fields)));
    TANDEM_ASSIGN_OR_RETURN(const std::vector<int32_t> ids,
                            AtLine(line, tokenizer->Encode(text, {.add_special_tokens = true})));
    if (std::printf("%s\n", nlohmann::json{{"ids", ids}}.dump().c_str()) < 0) {
      return absl::DataLossError("standard output: cannot be written");
    }
  }
  return absl::OkStatus();
}

}  // namespace

int TokenizeText(const TokenizeFlags& flags) {
  const absl::Status done = TokenizeAll(flags);
  return done.ok() ? kExitFine : BadInput(done);
}

}  // namespace tandem
