// The parts of a tokenizer.json, each read into what TokenizerFile has of it.
#pragma once

#include "absl/status/status.h"
#include "policy/tokenizer/json_file.h"
#include "policy/tokenizer/tokenizer_file.h"

namespace tandem {

absl::Status ReadModelField(const JsonField& model, TokenizerFile& file);
absl::Status ReadNormalizerField(const JsonField& normalizer, TokenizerFile& file);
absl::Status ReadPreTokenizerField(const JsonField& pre_tokenizer, TokenizerFile& file);
absl::Status ReadPostProcessorField(const JsonField& post_processor, TokenizerFile& file);
absl::Status ReadDecoderField(const JsonField& decoder);
// After the model: a token that the vocabulary has keeps its id there.
absl::Status ReadAddedTokensField(const JsonField& added_tokens, TokenizerFile& file);

}  // namespace tandem
