#include "trainer/collective.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/file.h"
#include "tests/trainer/synthetic_batch.h"
#include "trainer/updater.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

// The second rank is a process of its own: this very binary, started again for the same test with these two set.
constexpr char kRankVariable[] = "TANDEM_TEST_RANK", kFolderVariable[] = "TANDEM_TEST_FOLDER";

class TwoRanksTest : public ::testing::Test {
 protected:
  TwoRanksTest() {
    if (const char* rank = std::getenv(kRankVariable)) {
      rank_ = static_cast<uint32_t>(std::atoi(rank));
      folder_ = std::getenv(kFolderVariable);
      return;
    }
    std::string path = (std::filesystem::temp_directory_path() / "tandem-ranks-XXXXXX").string();
    folder_ = mkdtemp(path.data());
  }
  ~TwoRanksTest() override {
    if (rank_ == 0) std::filesystem::remove_all(folder_);
  }

  void StartOtherRank() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    const std::string filter = std::string("--gtest_filter=") + test->test_suite_name() + "." + test->name();
    const std::string folder = std::string(kFolderVariable) + "=" + folder_, rank = std::string(kRankVariable) + "=1";
    child_ = fork();
    if (child_ != 0) return;
    putenv(const_cast<char*>(folder.c_str()));
    putenv(const_cast<char*>(rank.c_str()));
    // Its output would be mixed into ours; what went wrong there shows in its exit status and in our numbers.
    if (std::freopen((folder_ + "/rank1.log").c_str(), "w", stdout) == nullptr) _exit(3);
    execl("/proc/self/exe", "trainer_tests", filter.c_str(), static_cast<char*>(nullptr));
    _exit(2);
  }
  int JoinOtherRank() {
    int status = 0;
    waitpid(child_, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0) std::fputs(ReadFile(folder_ + "/rank1.log")->c_str(), stderr);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  std::unique_ptr<Collective> Meet(double timeout_s = 60) {
    auto collective = MakeGlooCollective({.who = "trainer planner",
                                          .rank = rank_,
                                          .ranks = 2,
                                          .rendezvous = folder_ + "/rendezvous",
                                          .timeout_s = timeout_s});
    EXPECT_TRUE(collective.ok()) << collective.status();
    return collective.ok() ? *std::move(collective) : nullptr;
  }

  uint32_t rank_ = 0;
  std::string folder_;
  pid_t child_ = 0;
};

TEST_F(TwoRanksTest, SumsMaximaAndFlagsAreTheSameOnBoth) {
  if (rank_ == 0) StartOtherRank();
  auto collective = Meet();
  ASSERT_NE(collective, nullptr);
  at::Tensor sum = at::full({1000}, rank_ == 0 ? 1.f : 2.f), most = at::full({3}, rank_ == 0 ? 5.f : 4.f);
  EXPECT_TRUE(collective->AllReduceSum(sum).ok());
  EXPECT_TRUE(sum.equal(at::full({1000}, 3.f)));
  EXPECT_TRUE(collective->AllReduceMax(most).ok());
  EXPECT_TRUE(most.equal(at::full({3}, 5.f)));
  EXPECT_TRUE(collective->Barrier().ok());
  EXPECT_TRUE(*AnyRank(*collective, /*flag=*/rank_ == 1, "cpu"));
  EXPECT_FALSE(*AnyRank(*collective, /*flag=*/false, "cpu"));
  if (rank_ == 0) {
    EXPECT_EQ(JoinOtherRank(), 0);
  }
}

// Warm start and reinforcement, with stale tokens, several minibatches and passes.
std::vector<float> Train(Collective& collective, proto::StepMetrics& last) {
  proto::PolicyConfig config = SmallPolicy();
  config.mutable_optimizer()->set_epsilon(1e-4);  // near-zero moments would blow up rounding of the sums
  auto updater = *Updater::Create({.policy = "planner",
                                   .config = config,
                                   .shape = SmallShape(),
                                   .sft_steps = 2,
                                   .train_steps = 4,
                                   .seed = 5,
                                   .tokens_per_pass = 100},
                                  collective);
  for (uint32_t step = 0; step < 2; ++step) {
    const TrainingBatch batch = MakeBatch(RandomGroups(step, 11, 5, 3, proto::SFT, 0), proto::SFT, step);
    EXPECT_TRUE(updater->Step(batch)->accepted);
  }
  EXPECT_TRUE(updater->BeginReinforcement().ok());
  for (uint32_t step = 0; step < 4; ++step) {
    const TrainingBatch batch = MakeBatch(RandomGroups(90 + step, 11, 6, 4, proto::TRAIN, step, 2), proto::TRAIN, step);
    last = updater->Step(batch)->metrics;
  }
  return updater->Save()->weights;
}

TEST_F(TwoRanksTest, TwoProcessesOverGlooMakeTheWeightsOfOne) {
  if (rank_ == 0) StartOtherRank();
  auto collective = Meet();
  ASSERT_NE(collective, nullptr);
  proto::StepMetrics metrics;
  const std::vector<float> weights = Train(*collective, metrics);
  const std::string bytes(reinterpret_cast<const char*>(weights.data()), weights.size() * sizeof(float));
  if (rank_ == 1) {
    ASSERT_TRUE(WriteFileAtomically(folder_ + "/weights1", bytes).ok());
    return;
  }
  ASSERT_EQ(JoinOtherRank(), 0);
  EXPECT_EQ(*ReadFile(folder_ + "/weights1"), bytes) << "both ranks hold the same bits";

  const auto alone = MakeLocalCollective();
  proto::StepMetrics expected;
  const std::vector<float> one = Train(*alone, expected);
  double largest = 0, moved = 0;
  auto fresh =
      *Updater::Create({.policy = "planner", .config = SmallPolicy(), .shape = SmallShape(), .seed = 5}, *alone);
  const std::vector<float> start = fresh->Save()->weights;
  for (size_t i = 0; i < one.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(one[i]) - weights[i]));
    moved = std::max(moved, std::abs(static_cast<double>(one[i]) - start[i]));
  }
  EXPECT_GT(moved, 1e-2);
  EXPECT_LT(largest, 2e-5);
  EXPECT_EQ(metrics.tokens_trained(), expected.tokens_trained());
  EXPECT_NEAR(metrics.loss(), expected.loss(), 1e-5);
  EXPECT_NEAR(metrics.grad_norm(), expected.grad_norm(), 1e-4);
  EXPECT_NEAR(metrics.ess(), expected.ess(), 1e-5);
}

TEST_F(TwoRanksTest, ARankThatNeverComesIsNamed) {
  const auto meeting = MakeGlooCollective(
      {.who = "trainer planner", .rank = 0, .ranks = 3, .rendezvous = folder_ + "/rendezvous", .timeout_s = 0.2});
  EXPECT_EQ(meeting.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(meeting.status().message()),
              HasSubstr("trainer planner rank 0: rank 1, rank 2 did not come"));
}

TEST_F(TwoRanksTest, ARankThatDiesIsNamed) {
  if (rank_ == 0) StartOtherRank();
  auto collective = Meet(/*timeout_s=*/30);
  ASSERT_NE(collective, nullptr);
  if (rank_ == 1) _exit(0);  // without a word
  JoinOtherRank();
  const absl::Status status = collective->AllReduceSum(at::ones({4}));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("trainer planner rank 0: rank 1 is missing in a sum over 4 numbers"));
}

}  // namespace
}  // namespace tandem
