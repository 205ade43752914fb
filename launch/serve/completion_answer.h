// What a client of `tandem serve` gets, in OpenAI's form, with vLLM's names where OpenAI has none, and two of our own:
// each choice's `versions` (who wrote which tokens) and, with log-probabilities, `sampled_logprobs` (of the
// distribution that was sampled from; the others are the model's at temperature 1).
#pragma once

#include <string>
#include <vector>

#include "launch/serve/completion_request.h"
#include "launch/serve/generation_service.h"
#include "launch/serve/served_model.h"

namespace tandem {

// Of one request. `request` and `model` outlive it. For one thread.
class CompletionAnswer {
 public:
  CompletionAnswer(const CompletionRequest& request, const ServedModel& model);

  // What is new: adds it up, and says it as server-sent events, often none: a piece with neither text nor an end is
  // kept for the next event unless its tokens are asked for.
  std::string Add(const GenerationPiece& piece);
  bool done() const { return ended_ == choices_.size(); }

  std::string FirstEvents();  // before the first piece
  std::string LastEvents();   // once done: the usage, where it was asked for, and [DONE]
  std::string Whole() const;  // once done: all of it as one JSON object

 private:
  struct Choice {
    GenerationPiece all;     // so far
    GenerationPiece unsent;  // of a stream
    size_t offset = 0;       // characters of text before `unsent`
  };

  const CompletionRequest& request_;
  const ServedModel& model_;
  const std::string id_;
  const int64_t created_;
  std::vector<Choice> choices_;
  size_t ended_ = 0;
};

// An event of a stream.
std::string ServerSentEvent(const std::string& data);

}  // namespace tandem
