// How long a model folder takes to load, next to reading its file and next to copying as much memory.
//   model_files [FOLDER [MEGABYTES [ROUNDS]]]
// Writes a folder of float32 and one of bf16 weights of so many MB each under FOLDER (default:
// /tmp/tandem-model-files), unless they are there, and loads them from the page cache. Medians of the rounds, in which
// all take turns.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "policy/files/model_folder.h"
#include "tests/bench/large_model.h"

namespace tandem {
namespace {

double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Memory that nobody has touched.
class FreshMemory {
 public:
  explicit FreshMemory(size_t bytes) : bytes_(bytes) {
    data_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TANDEM_CHECK(data_ != MAP_FAILED);
  }
  ~FreshMemory() { munmap(data_, bytes_); }
  std::span<float> floats() const { return {static_cast<float*>(data_), bytes_ / sizeof(float)}; }

 private:
  void* data_;
  size_t bytes_;
};

// `cat FILE > /dev/null`, without starting a process.
void ReadThrough(const std::string& path) {
  static std::vector<char> buffer(128 << 10);
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  TANDEM_CHECK(fd >= 0);
  while (read(fd, buffer.data(), buffer.size()) > 0) {
  }
  close(fd);
}

void Measure(const std::string& path, int rounds) {
  const ModelFolder folder = LoadModelFolder(path).value();
  const size_t bytes = static_cast<size_t>(ParameterCount(folder.shape())) * sizeof(float);
  const std::string file = path + "/" + kWeightsFile;
  const FreshMemory source(bytes), touched(bytes);
  std::memset(source.floats().data(), 1, bytes);
  std::memset(touched.floats().data(), 1, bytes);
  std::map<std::string, std::vector<double>> times;
  for (int round = 0; round < rounds; ++round) {
    times["read the file"].push_back(Seconds([&] { ReadThrough(file); }));
    times["memcpy, touched memory"].push_back(
        Seconds([&] { std::memcpy(touched.floats().data(), source.floats().data(), bytes); }));
    times["load, touched memory"].push_back(
        Seconds([&] { TANDEM_CHECK(ReadWeights(LoadModelFolder(path).value(), touched.floats()).ok()); }));
    {
      const FreshMemory fresh(bytes);
      times["memcpy, fresh memory"].push_back(
          Seconds([&] { std::memcpy(fresh.floats().data(), source.floats().data(), bytes); }));
    }
    const FreshMemory fresh(bytes);
    times["load, fresh memory"].push_back(
        Seconds([&] { TANDEM_CHECK(ReadWeights(LoadModelFolder(path).value(), fresh.floats()).ok()); }));
  }
  const auto median = [&](const std::string& name) {
    std::vector<double>& sorted = times[name];
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  };
  std::printf("%s: %.2f GB on disk, %.2f GB as float32\n", path.c_str(),
              static_cast<double>(std::filesystem::file_size(file)) / 1e9, static_cast<double>(bytes) / 1e9);
  for (const auto& [name, seconds] : times) {
    std::printf("  %-24s %.3f s (%.3f to %.3f), %.2f of reading the file\n", name.c_str(), median(name),
                *std::min_element(seconds.begin(), seconds.end()), *std::max_element(seconds.begin(), seconds.end()),
                median(name) / median("read the file"));
  }
}

}  // namespace
}  // namespace tandem

int main(int argc, char** argv) {
  const std::string root = argc > 1 ? argv[1] : "/tmp/tandem-model-files";
  const int64_t bytes = (argc > 2 ? std::atoll(argv[2]) : 1000) * 1'000'000;
  const int rounds = argc > 3 ? std::atoi(argv[3]) : 7;
  std::filesystem::create_directories(root);
  for (const tandem::Dtype dtype : {tandem::Dtype::kF32, tandem::Dtype::kBF16}) {
    const std::string path = root + "/" + tandem::TorchDtypeName(dtype);
    tandem::WriteFolder(path, tandem::ShapeOf(bytes / tandem::DtypeBytes(dtype)), dtype);
    tandem::Measure(path, rounds);
  }
}
