#include <cstdio>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "launch/commands.h"
#include "launch/request_file.h"
#include "policy/tokenizer/open_tokenizer.h"

namespace tandem {
namespace {

absl::StatusOr<std::string> TokenizeAll(const TokenizeFlags& flags) {
  TANDEM_ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer, OpenTokenizer(flags.model));
  TANDEM_ASSIGN_OR_RETURN(const std::vector<RequestLine> lines, ReadRequests(flags.input, {"text"}));
  std::string printed;
  for (const RequestLine& line : lines) {
    TANDEM_ASSIGN_OR_RETURN(const std::string text, AtLine(line, TextOf(line.fields)));
    TANDEM_ASSIGN_OR_RETURN(const std::vector<int32_t> ids,
                            AtLine(line, tokenizer->Encode(text, {.add_special_tokens = true})));
    absl::StrAppend(&printed, nlohmann::json{{"ids", ids}}.dump(), "\n");
  }
  return printed;
}

}  // namespace

int TokenizeText(const TokenizeFlags& flags) {
  const absl::StatusOr<std::string> lines = TokenizeAll(flags);
  if (!lines.ok()) return BadInput(lines.status());
  std::fwrite(lines->data(), 1, lines->size(), stdout);  // main() looks at what became of it
  return kExitFine;
}

}  // namespace tandem
