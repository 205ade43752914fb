// How fast texts are encoded on one thread; tests/bench/tokenizer_speed runs it and its peer in turn.
//   tokenizer FOLDER TEXTS.jsonl   the tokenizer.json of FOLDER; {"text": ...} a line
// Prints {"load_s", "cold_s", "warm_s", "bytes", "tokens", "sum"}: the time to open the tokenizer, to encode all texts
// the first and the second time, and what the ids add up to, so that two programs can be seen to do the same.
#include <chrono>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "policy/tokenizer/bpe_tokenizer.h"

namespace {

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: tokenizer FOLDER TEXTS.jsonl\n");
    return 2;
  }
  std::vector<std::string> texts;
  std::ifstream file(argv[2]);
  for (std::string line; std::getline(file, line);) texts.push_back(nlohmann::json::parse(line)["text"]);
  const double begin = Now();
  const auto tokenizer = tandem::BpeTokenizer::Load(std::string(argv[1]) + "/tokenizer.json", /*end_token=*/"!");
  if (!tokenizer.ok()) {
    std::fprintf(stderr, "%s\n", std::string(tokenizer.status().message()).c_str());
    return 1;
  }
  nlohmann::json result = {{"load_s", Now() - begin}};
  for (const char* pass : {"cold_s", "warm_s"}) {
    size_t bytes = 0, tokens = 0;
    int64_t sum = 0;
    const double start = Now();
    for (const std::string& text : texts) {
      const auto ids = (*tokenizer)->Encode(text);
      if (!ids.ok()) {
        std::fprintf(stderr, "%s\n", std::string(ids.status().message()).c_str());
        return 1;
      }
      bytes += text.size();
      tokens += ids->size();
      for (const int32_t id : *ids) sum += id;
    }
    result[pass] = Now() - start;
    result["bytes"] = bytes;
    result["tokens"] = tokens;
    result["sum"] = sum;
  }
  std::printf("%s\n", result.dump().c_str());
}
