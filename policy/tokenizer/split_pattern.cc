#define PCRE2_CODE_UNIT_WIDTH 8
#include "policy/tokenizer/split_pattern.h"

#include <pcre2.h>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "policy/tokenizer/regex_dialect.h"

namespace tandem {
namespace {

constexpr size_t kLongestPattern = 10000;                       // bytes
constexpr uint32_t kMostSteps = 50'000'000;                     // of one match: under a second
constexpr uint32_t kMostHeap = 64 << 10;                        // KiB, where there is no JIT
constexpr size_t kStackStart = 32 << 10, kStackMost = 8 << 20;  // of the JIT, bytes

std::string ErrorText(int code) {
  char text[256];
  pcre2_get_error_message(code, reinterpret_cast<PCRE2_UCHAR*>(text), sizeof text);
  return text;
}

}  // namespace

void SplitPattern::FreeCode::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }
void SplitPattern::Scratch::Free::operator()(pcre2_real_match_data_8* data) const { pcre2_match_data_free(data); }
void SplitPattern::Scratch::Free::operator()(pcre2_real_match_context_8* context) const {
  pcre2_match_context_free(context);
}
void SplitPattern::Scratch::Free::operator()(pcre2_real_jit_stack_8* stack) const { pcre2_jit_stack_free(stack); }

SplitPattern::Scratch::Scratch()
    : stack_(pcre2_jit_stack_create(kStackStart, kStackMost, nullptr)),
      context_(pcre2_match_context_create(nullptr)),
      data_(pcre2_match_data_create(1, nullptr)) {
  TANDEM_CHECK(context_ != nullptr && data_ != nullptr);
  // Without a stack of its own (a machine that allows no JIT) the matcher is merely slower.
  if (stack_ != nullptr) pcre2_jit_stack_assign(context_.get(), nullptr, stack_.get());
  pcre2_set_match_limit(context_.get(), kMostSteps);
  pcre2_set_heap_limit(context_.get(), kMostHeap);
}

absl::StatusOr<SplitPattern> SplitPattern::Compile(std::string_view pattern, std::string place) {
  if (pattern.size() > kLongestPattern) {
    return absl::InvalidArgumentError(
        absl::StrCat(place, ": has ", pattern.size(), " bytes; expected at most ", kLongestPattern));
  }
  absl::StatusOr<std::string> translated = OnigurumaToPcre2(pattern);
  if (!translated.ok()) return Annotate(translated.status(), place);
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  TANDEM_CHECK(context != nullptr);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  size_t offset = 0;
  SplitPattern compiled;
  compiled.code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated->data()), translated->size(),
                                     PCRE2_UTF | PCRE2_UCP, &error, &offset, context.get()));
  if (compiled.code_ == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(place, ": ", ErrorText(error), " (in '", *translated, "')"));
  }
  uint32_t can_match_nothing = 0;
  pcre2_pattern_info(compiled.code_.get(), PCRE2_INFO_MATCHEMPTY, &can_match_nothing);
  if (can_match_nothing != 0) {
    return absl::InvalidArgumentError(absl::StrCat(place, ": matches the empty text; expected at least one character"));
  }
  pcre2_jit_compile(compiled.code_.get(), PCRE2_JIT_COMPLETE);  // when that fails, pcre2_match interprets
  compiled.place_ = std::move(place);
  return compiled;
}

absl::Status SplitPattern::Find(std::string_view text, Scratch& scratch, size_t& begin, size_t& end) const {
  const int found = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), begin,
                                PCRE2_NO_UTF_CHECK, scratch.data_.get(), scratch.context_.get());
  if (found == PCRE2_ERROR_NOMATCH) {
    begin = end = text.size();
    return absl::OkStatus();
  }
  if (found < 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat(place_, ": ", ErrorText(found), " at byte ", begin, " of a text of ", text.size()));
  }
  const size_t* match = pcre2_get_ovector_pointer(scratch.data_.get());
  begin = match[0];
  end = match[1];
  if (begin < end) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(place_, ": matches the empty text at byte ", begin));
}

}  // namespace tandem
