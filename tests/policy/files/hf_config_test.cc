#include "policy/files/hf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "policy/files/generation_config.h"
#include "tests/policy/files/tiny_model.h"

namespace tandem {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

// As Llama 3.2's, with sizes of its own.
json LlamaJson() {
  return json::parse(R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 64,
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 256, "rms_norm_eps": 1e-05, "hidden_act": "silu",
    "rope_theta": 500000.0, "tie_word_embeddings": true, "bos_token_id": 1, "eos_token_id": [2, 3],
    "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
    "original_max_position_embeddings": 8192, "rope_type": "llama3"}})");
}

// The text with fields set as an RFC 7386 merge patch says: null removes a field.
std::string Patched(json config, const std::string& patch) {
  config.merge_patch(json::parse(patch));
  return config.dump();
}

absl::StatusOr<HfConfig> Parse(const std::string& text) { return ParseHfConfig("m/config.json", text); }

TEST(HfConfigTest, ReadsEveryFieldOfLlama) {
  const auto config = Parse(LlamaJson().dump());
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->family, HfFamily::kLlama);
  const ModelConfig expected = {.vocabulary = 64,
                                .hidden = 32,
                                .layers = 2,
                                .heads = 4,
                                .kv_heads = 2,
                                .head_dim = 0,
                                .intermediate = 48,
                                .context = 256,
                                .rope_theta = 500000,
                                .rope_scaling = RopeScaling{32, 1, 4, 8192},
                                .norm_epsilon = 1e-5,
                                .tied_head = true};
  EXPECT_EQ(config->shape, expected);
  EXPECT_THAT(config->ends.eos_ids, ElementsAre(2, 3));
  EXPECT_EQ(config->ends.bos_id, 1);
  const auto biased = Parse(Patched(LlamaJson(), R"({"attention_bias": true, "mlp_bias": true, "head_dim": 12})"));
  ASSERT_TRUE(biased.ok()) << biased.status();
  EXPECT_TRUE(biased->shape.qkv_bias && biased->shape.output_bias && biased->shape.mlp_bias);
  EXPECT_EQ(biased->shape.head_dim, 12);
}

TEST(HfConfigTest, QwensDifferInBiasesAndNorms) {
  const auto qwen2 = Parse(Patched(LlamaJson(), R"({"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"],
    "use_sliding_window": false, "sliding_window": 4096, "max_window_layers": 1})"));
  ASSERT_TRUE(qwen2.ok()) << qwen2.status();
  EXPECT_TRUE(qwen2->shape.qkv_bias);
  EXPECT_FALSE(qwen2->shape.output_bias || qwen2->shape.mlp_bias || qwen2->shape.qk_norm);
  const auto qwen3 = Parse(Patched(LlamaJson(), R"({"model_type": "qwen3", "architectures": null, "head_dim": 16,
    "layer_types": ["full_attention", "full_attention"]})"));
  ASSERT_TRUE(qwen3.ok()) << qwen3.status();
  EXPECT_TRUE(qwen3->shape.qk_norm);
  EXPECT_FALSE(qwen3->shape.qkv_bias || qwen3->shape.output_bias || qwen3->shape.mlp_bias);
  EXPECT_EQ(qwen3->shape.head_dim, 16);
  const auto biased = Parse(Patched(LlamaJson(), R"({"model_type": "qwen3", "architectures": null,
    "attention_bias": true})"));
  ASSERT_TRUE(biased.ok()) << biased.status();
  EXPECT_TRUE(biased->shape.qkv_bias && biased->shape.output_bias);
}

TEST(HfConfigTest, WhatIsAbsentIsTransformersDefault) {
  const auto llama = Parse(R"({"model_type": "llama"})");
  ASSERT_TRUE(llama.ok()) << llama.status();
  const ModelConfig expected = {.vocabulary = 32000,
                                .hidden = 4096,
                                .layers = 32,
                                .heads = 32,
                                .kv_heads = 32,
                                .head_dim = 0,
                                .intermediate = 11008,
                                .context = 2048,
                                .rope_theta = 10000,
                                .norm_epsilon = 1e-6,
                                .tied_head = false};
  EXPECT_EQ(llama->shape, expected);
  EXPECT_EQ(llama->ends, (EndTokens{{2}, 1}));
  const auto qwen3 = Parse(R"({"model_type": "qwen3", "num_attention_heads": 64})");
  ASSERT_TRUE(qwen3.ok()) << qwen3.status();
  EXPECT_EQ(qwen3->shape.vocabulary, 151936);
  EXPECT_EQ(qwen3->shape.intermediate, 22016);
  EXPECT_EQ(qwen3->shape.context, 32768);
  EXPECT_EQ(qwen3->shape.kv_heads, 32);
  EXPECT_EQ(qwen3->shape.head_dim, 128);
  EXPECT_EQ(qwen3->ends, EndTokens{});
  // Null is not absent: it means as many as there are heads.
  EXPECT_EQ(Parse(R"({"model_type": "qwen2", "num_attention_heads": 64})")->shape.kv_heads, 32);
  EXPECT_EQ(Parse(R"({"model_type": "qwen2", "num_attention_heads": 64, "num_key_value_heads": null})")->shape.kv_heads,
            64);
  EXPECT_EQ(Parse(R"({"model_type": "llama", "num_attention_heads": 64})")->shape.kv_heads, 64);
  EXPECT_EQ(Parse(R"({"model_type": "llama", "eos_token_id": null, "bos_token_id": null})")->ends, EndTokens{});
}

TEST(HfConfigTest, BothSpellingsOfRopeMeanTheSame) {
  const auto rope = [](const std::string& fields) {
    const auto config = Parse(R"({"model_type": "llama", )" + fields + "}");
    EXPECT_TRUE(config.ok()) << config.status();
    return config.ok() ? std::pair(config->shape.rope_theta, config->shape.rope_scaling)
                       : std::pair(0.0, std::optional<RopeScaling>());
  };
  const std::string factors = R"("factor": 8, "low_freq_factor": 1, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192)";
  const auto scaled = std::pair(5e5, std::optional(RopeScaling{8, 1, 4, 8192}));
  const auto plain = std::pair(5e5, std::optional<RopeScaling>());
  EXPECT_EQ(rope(R"("rope_theta": 500000, "rope_scaling": {"rope_type": "llama3", )" + factors + "}"), scaled);
  EXPECT_EQ(rope(R"("rope_theta": 5e5, "rope_scaling": {"type": "llama3", )" + factors + "}"), scaled);
  EXPECT_EQ(rope(R"("rope_parameters": {"rope_type": "llama3", "rope_theta": 500000.0, )" + factors + "}"), scaled);
  EXPECT_EQ(rope(R"("rope_theta": 5e5, "rope_parameters": {"rope_type": "llama3", )" + factors + "}"), scaled);
  EXPECT_EQ(rope(R"("rope_theta": 5e5, "rope_scaling": null)"), plain);
  EXPECT_EQ(rope(R"("rope_theta": 5e5, "rope_scaling": {"rope_type": "default"})"), plain);
  EXPECT_EQ(rope(R"("rope_parameters": {"rope_type": "default", "rope_theta": 500000.0})"), plain);
  EXPECT_EQ(rope(R"("rope_parameters": {"rope_theta": 500000, "partial_rotary_factor": 1.0})"), plain);
  EXPECT_EQ(rope(R"("rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", )" + factors +
                 R"(}, "rope_parameters": {"rope_type": "llama3", "rope_theta": 500000.0, )" + factors + "}"),
            scaled);
  EXPECT_EQ(rope(R"("rope_parameters": {})").first, 10000);
}

struct Broken {
  const char* patch;  // of LlamaJson()
  const char* error;  // after the file's name
};

TEST(HfConfigTest, WhatIsNotSupportedIsNamedWithWhatIs) {
  const Broken table[] = {
      {R"({"model_type": "mistral"})", R"(model_type is "mistral"; expected "llama", "qwen2" or "qwen3")"},
      {R"({"model_type": null})", "model_type is missing; expected text"},
      {R"({"model_type": 3})", "model_type is 3; expected text"},
      {R"({"architectures": ["LlamaForSequenceClassification"]})",
       R"(architectures is ["LlamaForSequenceClassification"]; expected ["LlamaForCausalLM"])"},
      {R"({"architectures": "LlamaForCausalLM"})", "architectures is \"LlamaForCausalLM\"; expected ["},
      {R"({"hidden_act": "gelu"})", R"(hidden_act is "gelu"; expected "silu")"},
      {R"({"use_sliding_window": true})", "use_sliding_window is true; expected false"},
      {R"({"layer_types": ["full_attention", "sliding_attention"]})", R"(layer_types is ["full_attention",)"},
      {R"({"layer_types": "full_attention"})", "expected a list of"},
      {R"({"quantization_config": {"bits": 4}})", R"(quantization_config is {"bits":4}; expected none)"},
      {R"({"partial_rotary_factor": 0.5})", "partial_rotary_factor is 0.5; expected 1: all of a head is turned"},
      {R"({"original_max_position_embeddings": 9})", "original_max_position_embeddings is 9; expected it within"},
      {R"({"rope_scaling": {"rope_type": "yarn"}})",
       R"(rope_scaling.rope_type is "yarn"; expected "default" or "llama3")"},
      {R"({"rope_scaling": {"rope_type": null, "type": "linear"}})",
       R"(rope_scaling.type is "linear"; expected "default" or "llama3")"},
      {R"({"rope_scaling": {"rope_type": null}})", "rope_scaling.rope_type is missing; expected text"},
      {R"({"rope_scaling": {"rope_type": 1}})", "rope_scaling.rope_type is 1; expected text"},
      {R"({"rope_scaling": 8})", "rope_scaling is 8; expected an object"},
      {R"({"rope_scaling": {"factor": null}})", "rope_scaling.factor is missing; expected a number from 1 to"},
      {R"({"rope_scaling": {"factor": 0.5}})", "rope_scaling.factor is 0.5; expected a number from 1 to"},
      {R"({"rope_scaling": {"factor": "8"}})", "rope_scaling.factor is \"8\"; expected a number from 1 to"},
      {R"({"rope_scaling": {"low_freq_factor": 0}})", "rope_scaling.low_freq_factor is 0; expected a number"},
      {R"({"rope_scaling": {"high_freq_factor": 1}})",
       "rope_scaling.high_freq_factor is 1; expected more than low_freq_factor, which is 1"},
      {R"({"rope_scaling": {"original_max_position_embeddings": 8192.0}})",
       "rope_scaling.original_max_position_embeddings is 8192.0; expected a whole number from 1 to"},
      {R"({"rope_scaling": {"rope_theta": 10000.0}})", "rope_scaling.rope_theta is 10000.0; expected 500000"},
      {R"({"rope_scaling": {"partial_rotary_factor": 0.25}})",
       "rope_scaling.partial_rotary_factor is 0.25; expected 1"},
      {R"({"rope_parameters": {"rope_type": "default"}})", "expected the same as rope_scaling says"},
      {R"({"rope_parameters": {"rope_type": "default", "rope_theta": 2}, "rope_scaling": null})",
       "rope_parameters.rope_theta is 2; expected 500000, as rope_theta says"},
      {R"({"rope_parameters": {"full_attention": {"rope_theta": 1e6}}, "rope_scaling": null})",
       "expected one set of parameters for all layers"},
      {R"({"rope_theta": 0})", "rope_theta is 0; expected a number from 1 to"},
      {R"({"rope_theta": "1e6"})", "rope_theta is \"1e6\"; expected a number from 1 to"},
      {R"({"vocab_size": 64.0})", "vocab_size is 64.0; expected a whole number from 1 to 16777216"},
      {R"({"vocab_size": "64"})", "vocab_size is \"64\"; expected a whole number"},
      {R"({"vocab_size": 99999999999})", "vocab_size is 99999999999; expected a whole number"},
      {R"({"vocab_size": 18446744073709551615})", "vocab_size is 18446744073709551615; expected a whole number"},
      {R"({"hidden_size": 0})", "hidden_size is 0; expected a whole number from 1 to"},
      {R"({"hidden_size": -32})", "hidden_size is -32; expected a whole number from 1 to"},
      {R"({"num_hidden_layers": 1e9})", "num_hidden_layers is 1000000000.0; expected a whole number from 1 to 1024"},
      {R"({"num_attention_heads": true})", "num_attention_heads is true; expected a whole number"},
      {R"({"num_attention_heads": 5})", "heads: 5 does not divide hidden: 32"},
      {R"({"num_key_value_heads": 3})", "kv_heads: 3 does not divide heads: 4"},
      {R"({"num_key_value_heads": []})", "num_key_value_heads is []; expected a whole number"},
      {R"({"head_dim": 7})", "head_dim = 7 is odd"},
      {R"({"head_dim": 0})", "head_dim is 0; expected 1 or more"},
      {R"({"head_dim": 8192})", "head_dim is 8192; expected a whole number from 0 to 4096"},
      {R"({"intermediate_size": 1099511627776})", "intermediate_size is 1099511627776; expected a whole number"},
      {R"({"max_position_embeddings": 0})", "max_position_embeddings is 0; expected a whole number"},
      {R"({"rms_norm_eps": "small"})", "rms_norm_eps is \"small\"; expected a number from 0 to 1"},
      {R"({"rms_norm_eps": -1e-6})", "rms_norm_eps is -1e-06; expected a number from 0 to 1"},
      {R"({"tie_word_embeddings": 1})", "tie_word_embeddings is 1; expected true or false"},
      {R"({"attention_bias": "yes"})", "attention_bias is \"yes\"; expected true or false"},
      {R"({"eos_token_id": 64})", "eos_token_id is 64; expected a token id, or a list of them, from 0 to 63"},
      {R"({"eos_token_id": [2, -1]})", "eos_token_id is [2,-1]; expected a token id"},
      {R"({"eos_token_id": ["2"]})", "eos_token_id is [\"2\"]; expected a token id"},
      {R"({"eos_token_id": [[2]]})", "eos_token_id is [[2]]; expected a token id"},
      {R"({"bos_token_id": 64})", "bos_token_id is 64; expected a whole number from 0 to 63"},
  };
  for (const Broken& broken : table) {
    const absl::Status status = Parse(Patched(LlamaJson(), broken.patch)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << broken.patch;
    const std::string message(status.message());
    EXPECT_THAT(message, testing::StartsWith("m/config.json: ")) << broken.patch;
    EXPECT_THAT(message, HasSubstr(broken.error)) << broken.patch;
    EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 0) << message;
  }
  EXPECT_THAT(std::string(Parse("{}").status().message()), HasSubstr("model_type is missing"));
  EXPECT_EQ(Parse("[]").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(Parse(R"({"model_type": "llama", "model_type": "qwen2"})").status().message()),
              HasSubstr("names the key 'model_type' twice"));
}

TEST(HfConfigTest, TheLargestShapeThatIsAcceptedCanBeCounted) {
  const auto config = Parse(R"({"model_type": "llama", "vocab_size": 16777216, "hidden_size": 1048576,
    "num_hidden_layers": 1024, "num_attention_heads": 4096, "head_dim": 4096, "intermediate_size": 4194304,
    "attention_bias": true, "mlp_bias": true})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_GT(ParameterCount(config->shape), int64_t{1} << 55);
}

TEST(HfConfigTest, AShapeIsWrittenAsTheFamilyThatHasIt) {
  const auto family = [](bool qkv, bool output, bool mlp, bool norm) {
    ModelConfig shape = TinyShape();
    shape.qkv_bias = qkv, shape.output_bias = output, shape.mlp_bias = mlp, shape.qk_norm = norm;
    const auto text = HfConfigText(shape, Dtype::kF32, {}, nullptr);
    if (!text.ok()) return std::string(text.status().message());
    const auto back = Parse(*text);
    EXPECT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->shape, shape);
    return json::parse(*text)["model_type"].get<std::string>();
  };
  EXPECT_EQ(family(false, false, false, false), "llama");
  EXPECT_EQ(family(false, false, true, false), "llama");
  EXPECT_EQ(family(true, true, true, false), "llama");
  EXPECT_EQ(family(true, false, false, false), "qwen2");
  EXPECT_EQ(family(false, false, false, true), "qwen3");
  EXPECT_EQ(family(true, true, false, true), "qwen3");
  EXPECT_THAT(family(true, false, true, false), HasSubstr("no model family of Hugging Face's (llama, qwen2, qwen3)"));
  EXPECT_THAT(family(false, false, true, true), HasSubstr("mlp_bias true, qk_norm true"));
  EXPECT_THAT(family(false, true, false, false), HasSubstr("qkv_bias false, output_bias true"));
}

TEST(HfConfigTest, AnyShapeOfAFamilyComesBack) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    RandomStream random(seed);
    ModelConfig shape;
    const auto family = static_cast<HfFamily>(random.Below(3));
    shape.kv_heads = static_cast<int64_t>(1 + random.Below(4));
    shape.heads = shape.kv_heads * static_cast<int64_t>(1 + random.Below(4));
    shape.hidden = shape.heads * 2 * static_cast<int64_t>(1 + random.Below(20));
    shape.head_dim = random.Below(2) == 0 ? 0 : static_cast<int64_t>(2 + 2 * random.Below(40));
    if (shape.head_dim * shape.heads == shape.hidden) shape.head_dim = 0;
    shape.vocabulary = static_cast<int64_t>(1 + random.Below(100000));
    shape.layers = static_cast<int64_t>(1 + random.Below(100));
    shape.intermediate = static_cast<int64_t>(1 + random.Below(1000));
    shape.context = static_cast<int64_t>(1 + random.Below(100000));
    shape.rope_theta = 1 + 1e6 * random.Uniform();
    if (random.Below(2) == 0) shape.rope_scaling = RopeScaling{1 + random.Uniform(), 0.5, 1 + random.Uniform(), 77};
    shape.norm_epsilon = 1e-5 * random.Uniform();
    shape.tied_head = random.Below(2) == 0;
    shape.qkv_bias = family == HfFamily::kQwen2 || random.Below(2) == 0;
    shape.output_bias = family != HfFamily::kQwen2 && shape.qkv_bias;
    shape.mlp_bias = family == HfFamily::kLlama && random.Below(2) == 0;
    shape.qk_norm = family == HfFamily::kQwen3;
    const EndTokens ends = {std::vector<int32_t>(random.Below(4)), {}};
    const auto text = HfConfigText(shape, Dtype::kBF16, ends, nullptr);
    ASSERT_TRUE(text.ok()) << text.status() << " seed " << seed;
    const auto back = Parse(*text);
    ASSERT_TRUE(back.ok()) << back.status() << " seed " << seed;
    EXPECT_EQ(back->shape, shape) << "seed " << seed << "\n" << *text;
    EXPECT_EQ(back->ends, ends) << "seed " << seed;
    const auto again = HfConfigText(back->shape, Dtype::kBF16, back->ends, &*back);
    EXPECT_EQ(*again, *text) << "seed " << seed;
  }
}

TEST(HfConfigTest, FieldsThatWeDoNotKnowAreKept) {
  const auto like = Parse(Patched(LlamaJson(), R"({"initializer_range": 0.02, "transformers_version": "4.57.3",
    "layer_types": ["full_attention", "full_attention"], "custom": {"a": [1, "ü"]}, "torch_dtype": "bfloat16"})"));
  ASSERT_TRUE(like.ok()) << like.status();
  const json same = json::parse(HfConfigText(like->shape, Dtype::kF16, like->ends, &*like).value());
  EXPECT_EQ(same["initializer_range"], 0.02);
  EXPECT_EQ(same["custom"], json::parse(R"({"a": [1, "ü"]})"));
  EXPECT_EQ(same["layer_types"].size(), 2u);
  EXPECT_EQ(same["torch_dtype"], "float16");
  EXPECT_EQ(same["eos_token_id"], json::parse("[2, 3]"));
  EXPECT_EQ(same["rope_scaling"]["factor"], 32.0);
  EXPECT_EQ(same["rope_parameters"]["rope_theta"], 500000.0);
  // Of another depth, the list of its layers would be wrong; of another family, nothing is known to be right.
  ModelConfig deeper = like->shape, biased = like->shape;
  deeper.layers = 3;
  biased.qkv_bias = true;
  const json other = json::parse(HfConfigText(deeper, Dtype::kF32, like->ends, &*like).value());
  EXPECT_TRUE(other.contains("custom") && !other.contains("layer_types"));
  const json qwen2 = json::parse(HfConfigText(biased, Dtype::kF32, like->ends, &*like).value());
  EXPECT_EQ(qwen2["model_type"], "qwen2");
  EXPECT_FALSE(qwen2.contains("custom"));
}

TEST(HfConfigTest, TokensBeyondTheVocabularyAreNotWritten) {
  EXPECT_THAT(std::string(HfConfigText(TinyShape(), Dtype::kF32, {{11}, {}}, nullptr).status().message()),
              HasSubstr("token id 11 is not of a vocabulary of 11"));
  EXPECT_FALSE(HfConfigText(TinyShape(), Dtype::kF32, {{}, -1}, nullptr).ok());
  ModelConfig impossible = TinyShape();
  impossible.heads = 3;
  EXPECT_FALSE(HfConfigText(impossible, Dtype::kF32, {}, nullptr).ok());
}

TEST(GenerationConfigTest, ReadsWhatIsThere) {
  const auto parse = [](const std::string& text) {
    return ParseGenerationConfig("m/generation_config.json", text, 64);
  };
  const auto full = parse(R"({"bos_token_id": 1, "eos_token_id": [2, 3], "temperature": 0.7, "top_p": 0.8, "top_k": 20,
    "do_sample": true, "transformers_version": "5.0.0"})");
  ASSERT_TRUE(full.ok()) << full.status();
  EXPECT_EQ(full->ends, (EndTokens{{2, 3}, 1}));
  EXPECT_EQ(full->temperature, 0.7);
  EXPECT_EQ(full->top_p, 0.8);
  EXPECT_EQ(full->top_k, 20);
  const auto empty = parse(R"({"eos_token_id": null, "temperature": null})");
  ASSERT_TRUE(empty.ok()) << empty.status();
  EXPECT_TRUE(empty->ends == EndTokens{} && !empty->temperature && !empty->top_p && !empty->top_k);
  EXPECT_THAT(parse(R"({"eos_token_id": 7})")->ends.eos_ids, ElementsAre(7));
  const Broken table[] = {{R"({"eos_token_id": 64})", "eos_token_id is 64; expected a token id"},
                          {R"({"bos_token_id": "1"})", "bos_token_id is \"1\"; expected a whole number from 0 to 63"},
                          {R"({"temperature": -1})", "temperature is -1; expected a number from 0 to 1000"},
                          {R"({"temperature": "hot"})", "temperature is \"hot\"; expected a number"},
                          {R"({"top_p": 1.5})", "top_p is 1.5; expected a number from 0 to 1"},
                          {R"({"top_k": 2.5})", "top_k is 2.5; expected a whole number"},
                          {R"({"top_k": -1})", "top_k is -1; expected a whole number"}};
  for (const Broken& broken : table) {
    const absl::Status status = parse(broken.patch).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << broken.patch;
    EXPECT_THAT(std::string(status.message()), HasSubstr(std::string("m/generation_config.json: ") + broken.error));
  }
  EXPECT_EQ(parse("{").status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace tandem
