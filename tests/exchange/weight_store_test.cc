#include "exchange/weight_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/digest.h"

namespace tandem {
namespace {

using ::testing::HasSubstr;

class WeightStoreTest : public ::testing::Test {
 protected:
  static proto::Version V(uint32_t number) {
    proto::Version version;
    version.set_number(number);
    return version;
  }
  absl::Status Begin(uint32_t number, uint64_t bytes, uint32_t chunks, const std::string& digest) {
    proto::WeightsBegin begin;
    *begin.mutable_version() = V(number);
    begin.set_bytes(bytes);
    begin.set_chunks(chunks);
    begin.set_digest(digest);
    return store_.Begin(begin);
  }
  absl::Status Chunk(uint32_t number, uint32_t index, uint64_t offset, const std::string& data) {
    proto::WeightsChunk chunk;
    *chunk.mutable_version() = V(number);
    chunk.set_index(index);
    chunk.set_offset(offset);
    return store_.Chunk(chunk, wire::MakeFrame(data));
  }
  absl::Status Commit(uint32_t number, const std::string& digest) {
    proto::WeightsCommit commit;
    *commit.mutable_version() = V(number);
    commit.set_digest(digest);
    return store_.Commit(commit);
  }
  // In pieces of 4 bytes.
  absl::Status Publish(uint32_t number, const std::string& bytes) {
    absl::Status status = Begin(number, bytes.size(), (bytes.size() + 3) / 4, Digest(bytes));
    for (size_t at = 0; at < bytes.size(); at += 4) status.Update(Chunk(number, at / 4, at, bytes.substr(at, 4)));
    status.Update(Commit(number, Digest(bytes)));
    return status;
  }

  WeightStore store_{"planner", /*keep=*/2};
};

TEST_F(WeightStoreTest, KeepsTheLastVersions) {
  EXPECT_EQ(store_.newest(), nullptr);
  for (uint32_t number : {0, 1, 2}) ASSERT_TRUE(Publish(number, "weights" + std::to_string(number)).ok());
  EXPECT_EQ(store_.newest()->version.number(), 2u);
  EXPECT_EQ(*store_.newest()->chunks[1], "hts2");
  EXPECT_EQ(store_.newest()->digest, Digest("weights2"));
  EXPECT_NE(store_.Find(V(1)), nullptr);
  EXPECT_EQ(store_.Find(V(0)), nullptr);
}

TEST_F(WeightStoreTest, NothingIsVisibleBeforeTheCommit) {
  ASSERT_TRUE(Begin(0, 8, 2, Digest("weights0")).ok());
  ASSERT_TRUE(Chunk(0, 0, 0, "weig").ok());
  EXPECT_EQ(store_.newest(), nullptr);
  EXPECT_THAT(std::string(Commit(0, Digest("weights0")).message()), HasSubstr("after 4 of 8 bytes"));
  EXPECT_EQ(store_.newest(), nullptr);
}

TEST_F(WeightStoreTest, NothingIsVisibleWithoutItsDigest) {
  ASSERT_TRUE(Publish(0, "weights0").ok());
  ASSERT_TRUE(Begin(1, 8, 2, Digest("weights1")).ok());
  ASSERT_TRUE(Chunk(1, 0, 0, "weig").ok());
  ASSERT_TRUE(Chunk(1, 1, 4, "hts?").ok());
  EXPECT_EQ(Commit(1, Digest("weights1")).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(store_.newest()->version.number(), 0u);
  EXPECT_TRUE(Publish(1, "weights1").ok());  // and again, whole
}

TEST_F(WeightStoreTest, AVersionNamesOneSetOfBytes) {
  for (uint32_t number : {0, 1, 2}) ASSERT_TRUE(Publish(number, "weights" + std::to_string(number)).ok());
  EXPECT_TRUE(Publish(2, "weights2").ok());  // word for word
  EXPECT_THAT(std::string(Publish(2, "weights?").message()), HasSubstr("version 0.2 of planner exists with digest"));
  EXPECT_FALSE(Publish(0, "weights?").ok());  // remembered, though not kept any more
  EXPECT_EQ(store_.newest()->digest, Digest("weights2"));
}

TEST_F(WeightStoreTest, VersionsDoNotGoBack) {
  ASSERT_TRUE(Publish(5, "weights5").ok());
  EXPECT_THAT(std::string(Publish(4, "weights4").message()), HasSubstr("is not newer than version 0.5"));
}

TEST_F(WeightStoreTest, ChunksMustFit) {
  EXPECT_FALSE(Begin(0, 0, 0, "").ok());
  EXPECT_FALSE(Begin(0, 4, 5, "").ok());
  EXPECT_FALSE(Chunk(0, 0, 0, "weig").ok());  // without a BEGIN
  ASSERT_TRUE(Begin(0, 8, 2, Digest("weights0")).ok());
  EXPECT_FALSE(Chunk(1, 0, 0, "weig").ok());       // another version's
  EXPECT_FALSE(Chunk(0, 1, 4, "hts0").ok());       // out of order
  EXPECT_FALSE(Chunk(0, 0, 4, "weig").ok());       // elsewhere
  EXPECT_FALSE(Chunk(0, 0, 0, "").ok());           // nothing
  EXPECT_FALSE(Chunk(0, 0, 0, "weights00").ok());  // more than was announced
  ASSERT_TRUE(Chunk(0, 0, 0, "weig").ok());
  EXPECT_FALSE(Chunk(0, 0, 0, "weig").ok());
  ASSERT_TRUE(Chunk(0, 1, 4, "hts0").ok());
  EXPECT_FALSE(Chunk(0, 2, 8, "x").ok());
  EXPECT_TRUE(Commit(0, Digest("weights0")).ok());
}

}  // namespace
}  // namespace tandem
