#include "rollout/engine/request.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace tandem {

absl::Status CheckRequest(const GenerateRequest& request, const ModelConfig& model) {
  const auto size = static_cast<int64_t>(request.prompt.size());
  if (size < 1 || size >= model.context) {
    return absl::InvalidArgumentError(absl::StrCat("prompt of ", size, " tokens: 1 to ", model.context - 1,
                                                   " fit a context of ", model.context, " with a token of output"));
  }
  for (int32_t id : request.prompt) {
    if (id < 0 || id >= model.vocabulary) {
      return absl::InvalidArgumentError(
          absl::StrCat("prompt holds id ", id, ", the vocabulary 0 to ", model.vocabulary - 1));
    }
  }
  if (request.max_new_tokens < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_new_tokens is ", request.max_new_tokens, ", at least 1 expected"));
  }
  if (!(request.temperature >= 0) || !std::isfinite(request.temperature)) {
    return absl::InvalidArgumentError(absl::StrCat("temperature is ", request.temperature, ", 0 or more expected"));
  }
  const kernels::SamplingFilter& filter = request.filter;
  if (filter.top_k < 0 || !(filter.top_p >= 0 && filter.top_p <= 1) || !(filter.min_p >= 0 && filter.min_p <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat("top_k is ", filter.top_k, ", top_p ", filter.top_p, ", min_p ",
                                                   filter.min_p, "; 0 or more, and 0 to 1 expected"));
  }
  return absl::OkStatus();
}

}  // namespace tandem
