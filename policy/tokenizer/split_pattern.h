// A regular expression that divides text into parts, by PCRE2.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct pcre2_real_code_8;
struct pcre2_real_match_data_8;
struct pcre2_real_match_context_8;
struct pcre2_real_jit_stack_8;

namespace tandem {

// After construction immutable, and safe to use from many threads, each with a Scratch of its own.
class SplitPattern {
 public:
  // `pattern` in Oniguruma's dialect; `place` ("tokenizer.json: pre_tokenizer.pattern.Regex") goes in front of errors.
  // kInvalidArgument: a pattern that PCRE2 refuses, that OnigurumaToPcre2 does not take, or that can match nothing.
  static absl::StatusOr<SplitPattern> Compile(std::string_view pattern, std::string place);

  // What one thread needs to match, with any pattern.
  class Scratch {
   public:
    Scratch();

   private:
    friend class SplitPattern;
    struct Free {
      void operator()(pcre2_real_match_data_8* data) const;
      void operator()(pcre2_real_match_context_8* context) const;
      void operator()(pcre2_real_jit_stack_8* stack) const;
    };
    std::unique_ptr<pcre2_real_jit_stack_8, Free> stack_;
    std::unique_ptr<pcre2_real_match_context_8, Free> context_;
    std::unique_ptr<pcre2_real_match_data_8, Free> data_;
  };

  // Calls part(std::string_view) -> absl::Status with each match, and with what lies before, between and after matches,
  // in order: together they are `text`, which must be UTF-8. Ends with the first error, part's own or
  // kResourceExhausted: on this text the pattern took more steps or memory than it may.
  template <class Part>
  absl::Status Divide(std::string_view text, Scratch& scratch, Part&& part) const {
    for (size_t done = 0; done < text.size();) {
      size_t begin = done, end = done;
      if (absl::Status found = Find(text, scratch, begin, end); !found.ok()) return found;
      if (done < begin) {
        if (absl::Status status = part(text.substr(done, begin - done)); !status.ok()) return status;
      }
      if (begin < end) {
        if (absl::Status status = part(text.substr(begin, end - begin)); !status.ok()) return status;
      }
      done = end;
    }
    return absl::OkStatus();
  }

 private:
  // The first match at or after `begin`; when there is none both are the end of the text.
  absl::Status Find(std::string_view text, Scratch& scratch, size_t& begin, size_t& end) const;

  struct FreeCode {
    void operator()(pcre2_real_code_8* code) const;
  };
  std::unique_ptr<pcre2_real_code_8, FreeCode> code_;
  std::string place_;
};

}  // namespace tandem
