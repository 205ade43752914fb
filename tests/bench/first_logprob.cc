// How long it takes from the start of `tandem score` to its first log-probabilities, next to reading the model's file
// and to that one pass in a process that has the model already.
//   first_logprob [FOLDER [MEGABYTES [ROUNDS]]]
// Writes a folder of bf16 and one of float32 weights of so many MB each under FOLDER (default:
// /tmp/tandem-model-files), unless they are there, and reads them from the page cache. Medians of the rounds, in which
// the three take turns.
#include <ATen/core/grad_mode.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "absl/strings/str_cat.h"
#include "launch/language_model.h"
#include "policy/files/weight_files.h"
#include "tests/bench/large_model.h"

namespace tandem {
namespace {

double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void ReadThrough(const std::string& path) {
  static std::vector<char> buffer(size_t{1} << 20);
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  TANDEM_CHECK(file >= 0);
  while (read(file, buffer.data(), buffer.size()) > 0) {
  }
  close(file);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void Measure(const std::string& path, int tokens, int rounds) {
  PackedSequences packed;
  std::string ids;
  for (int i = 0; i < tokens; ++i) {
    packed.ids.push_back(i * 37 % 32000);
    if (i > 0) packed.targets.push_back(i);
    absl::StrAppend(&ids, i > 0 ? ", " : "", packed.ids.back());
  }
  packed.lengths = {tokens};
  const std::string input = path + "/input.jsonl";
  FILE* file = std::fopen(input.c_str(), "w");
  std::fprintf(file, "{\"ids\": [%s]}\n", ids.c_str());
  std::fclose(file);

  const auto folder = LoadModelFolder(path);
  TANDEM_CHECK(folder.ok());
  const auto model = LoadScorer(*folder, {.device = "cpu", .bf16 = false});
  TANDEM_CHECK(model.ok());
  const at::NoGradGuard no_grad;
  std::vector<double> read, pass, score;
  (*model)->Score(packed);
  for (int round = 0; round < rounds; ++round) {
    read.push_back(Seconds([&] { ReadThrough(path + "/" + kWeightsFile); }));
    pass.push_back(Seconds([&] { (*model)->Score(packed); }));
    FILE* score_output = nullptr;
    score.push_back(Seconds([&] {
      score_output = popen(absl::StrCat(TANDEM_BINARY, " score ", path, " --input ", input).c_str(), "r");
      TANDEM_CHECK(score_output != nullptr && std::fgetc(score_output) == '{');
    }));
    while (std::fgetc(score_output) != EOF) {
    }
    TANDEM_CHECK(pclose(score_output) == 0);
  }
  std::printf("%s, %d tokens: reading %.2f s, the pass %.2f s, tandem score %.2f s: %.2f of reading and pass\n",
              path.c_str(), tokens, Median(read), Median(pass), Median(score),
              Median(score) / (Median(read) + Median(pass)));
  std::fflush(stdout);
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  const std::string root = argc > 1 ? argv[1] : "/tmp/tandem-model-files";
  const int64_t bytes = (argc > 2 ? std::atoll(argv[2]) : 1000) * 1'000'000;
  const int rounds = argc > 3 ? std::atoi(argv[3]) : 5;
  std::filesystem::create_directories(root);
  for (const tandem::Dtype dtype : {tandem::Dtype::kBF16, tandem::Dtype::kF32}) {
    const std::string path = root + "/" + tandem::TorchDtypeName(dtype);
    tandem::WriteFolder(path, tandem::ShapeOf(bytes / tandem::DtypeBytes(dtype)), dtype);
    for (const int tokens : {16, 512}) tandem::Measure(path, tokens, rounds);
  }
}
