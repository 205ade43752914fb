// Folders with tokenizers for tests.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "policy/tokenizer/byte_level.h"

namespace tandem {

// Removed at the end.
class TokenizerFolder {
 public:
  TokenizerFolder() {
    std::string path = (std::filesystem::temp_directory_path() / "tandem-tokenizer-XXXXXX").string();
    path_ = mkdtemp(path.data());
    Write("tokenizer_config.json", R"({"eos_token": "<end>"})");
  }
  TokenizerFolder(const TokenizerFolder&) = delete;
  ~TokenizerFolder() { std::filesystem::remove_all(path_); }

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  void Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(file(name), std::ios::binary) << bytes;
  }

 private:
  std::string path_;
};

// A tokenizer.json: token 0 to 255 are the bytes, then come "ab", "abc" and "bc", merged in that order, and "<end>"
// (259).
inline nlohmann::json SmallTokenizer() {
  nlohmann::json vocab;
  for (int byte = 0; byte < 256; ++byte) vocab[SpellingOfByte(static_cast<uint8_t>(byte))] = byte;
  vocab["ab"] = 256;
  vocab["abc"] = 257;
  vocab["bc"] = 258;
  return {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", {{{"id", 259}, {"content", "<end>"}, {"special", true}}}},
      {"normalizer", nullptr},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
      {"post_processor", nullptr},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", {"a b", "ab c", nlohmann::json::array({"b", "c"})}}}}};
}

}  // namespace tandem
