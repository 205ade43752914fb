#include "trainer/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <numeric>

#include "base/file.h"
#include "tests/trainer/synthetic_batch.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointTest() {
    std::string path = (fs::temp_directory_path() / "tandem-checkpoint-XXXXXX").string();
    run_ = mkdtemp(path.data());
  }
  ~CheckpointTest() override { fs::remove_all(run_); }

  Checkpoint Make(CheckpointName name, float offset = 0) const {
    Checkpoint c;
    c.policy = "planner";
    c.name = name;
    c.shape = SmallShape();
    c.updates = 77;
    for (auto* part : {&c.weights, &c.first, &c.second}) {
      part->resize(static_cast<size_t>(ParameterCount(c.shape)));
      std::iota(part->begin(), part->end(), offset += 0.25f);
    }
    return c;
  }

  std::string Write(const Checkpoint& c, uint32_t keep = 9) const {
    const absl::Status status = WriteCheckpoint(run_, c, keep);
    EXPECT_TRUE(status.ok()) << status;
    return CheckpointFolder(run_, c.policy, c.name);
  }

  void CutShort(const std::string& file) const { fs::resize_file(file, fs::file_size(file) - 10); }

  std::string run_;
};

TEST_F(CheckpointTest, ComesBackAsItWas) {
  Checkpoint written = Make({2, false, 40});
  written.reference = written.first;
  const std::string folder = Write(written);
  EXPECT_EQ(folder, run_ + "/checkpoints/planner/2-40");
  const auto read = ReadCheckpoint(folder, SmallShape());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->policy, "planner");
  EXPECT_EQ(read->name, written.name);
  EXPECT_EQ(read->updates, 77u);
  EXPECT_EQ(read->weights, written.weights);
  EXPECT_EQ(read->first, written.first);
  EXPECT_EQ(read->second, written.second);
  EXPECT_EQ(read->reference, written.reference);
  EXPECT_EQ(*LoadWeights(folder, SmallShape()), written.weights);
}

TEST_F(CheckpointTest, WritingItAgainReplacesIt) {
  Write(Make({0, false, 1}, 0));
  const std::string folder = Write(Make({0, false, 1}, 5));
  EXPECT_EQ(*LoadWeights(folder, SmallShape()), Make({}, 5).weights);
}

TEST_F(CheckpointTest, KeepsTheNewestAndFindsThem) {
  for (const CheckpointName& name : {CheckpointName{0, true, 400}, {0, false, 0}, {0, false, 100}, {0, false, 20}}) {
    Write(Make(name), /*keep=*/3);
  }
  fs::create_directories(run_ + "/checkpoints/planner/.writing-9-9");
  fs::create_directories(run_ + "/checkpoints/planner/1-2.old");
  EXPECT_THAT(ListCheckpoints(run_, "planner"),
              ElementsAre(CheckpointName{0, false, 0}, CheckpointName{0, false, 20}, CheckpointName{0, false, 100}));
  EXPECT_EQ(*FindNewestCheckpoint(run_, "planner"), run_ + "/checkpoints/planner/0-100");
  Write(Make({1, true, 3}), /*keep=*/1);  // a later incarnation is newer, whatever it counts
  EXPECT_THAT(ListCheckpoints(run_, "planner"), ElementsAre(CheckpointName{0, false, 100}, CheckpointName{1, true, 3}))
      << "the journal of incarnation 1 begins with the last of incarnation 0";
  EXPECT_EQ(*FindNewestCheckpoint(run_, "planner"), run_ + "/checkpoints/planner/1-sft-3");
  fs::remove_all(run_ + "/checkpoints/planner/0-100");
  const absl::Status none = FindNewestCheckpoint(run_, "planner", /*trained_only=*/true).status();
  EXPECT_EQ(none.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(none.message()), HasSubstr("/checkpoints/planner: holds no checkpoint of a version"));
}

TEST_F(CheckpointTest, AFailedWriteLeavesNothingUnderACheckpointsName) {
  Checkpoint c = Make({0, false, 1});
  // The folder aside cannot be made, since a file stands where the policy's folder should be.
  fs::create_directories(run_ + "/checkpoints");
  std::ofstream(run_ + "/checkpoints/planner") << "in the way";
  const absl::Status status = WriteCheckpoint(run_, c, 3);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("/checkpoints/planner/.writing-0-1"));
  EXPECT_TRUE(ListCheckpoints(run_, "planner").empty());
}

TEST_F(CheckpointTest, CutShortFilesAreNamed) {
  for (const char* file : {"model.safetensors", "optimizer.state", "state.json"}) {
    const std::string folder = Write(Make({0, false, 1}));
    CutShort(folder + "/" + file);
    const absl::Status status = ReadCheckpoint(folder, SmallShape()).status();
    EXPECT_FALSE(status.ok()) << file;
    EXPECT_THAT(std::string(status.message()), HasSubstr(file));
    EXPECT_EQ(status.message().find('\n'), absl::string_view::npos) << "one line: " << status;
  }
  const std::string folder = Write(Make({0, false, 1}));
  fs::remove(folder + "/optimizer.state");
  EXPECT_THAT(std::string(ReadCheckpoint(folder, SmallShape()).status().message()), HasSubstr("optimizer.state"));
}

TEST_F(CheckpointTest, AnotherModelIsRefusedByTheFieldThatDiffers) {
  const std::string folder = Write(Make({0, false, 1}));
  ModelConfig wider = SmallShape();
  wider.intermediate = 32;
  const absl::Status status = LoadWeights(folder, wider).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("state.json: intermediate of the model is 24, the configuration says 32"));
}

TEST_F(CheckpointTest, WeightsOfAnotherVersionAreRefusedByTheirDigest) {
  const std::string one = Write(Make({0, false, 1}, 0)), other = Write(Make({0, false, 2}, 5));
  fs::copy_file(other + "/model.safetensors", one + "/model.safetensors", fs::copy_options::overwrite_existing);
  const absl::Status status = LoadWeights(one, SmallShape()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("digest"));
}

TEST_F(CheckpointTest, ADamagedOptimizerIsRefusedByItsDigest) {
  const std::string folder = Write(Make({0, false, 1}));
  std::string bytes = *ReadFile(folder + "/optimizer.state");
  bytes[bytes.size() - 9] ^= 1;
  ASSERT_TRUE(WriteFileAtomically(folder + "/optimizer.state", bytes).ok());
  const absl::Status status = ReadCheckpoint(folder, SmallShape()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("optimizer.state"));
}

TEST_F(CheckpointTest, AnotherFormatIsRefused) {
  const std::string folder = Write(Make({0, false, 1}));
  ASSERT_TRUE(WriteFileAtomically(folder + "/state.json", "{\"format\": 9}").ok());
  EXPECT_THAT(std::string(ReadCheckpoint(folder, SmallShape()).status().message()), HasSubstr("format 9, expected 2"));
}

}  // namespace
}  // namespace tandem
