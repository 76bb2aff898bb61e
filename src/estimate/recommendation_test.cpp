// SPDX-License-Identifier: GPL-2.0-or-later
#include "estimate/recommendation.h"

#include <gtest/gtest.h>

#include "base/block_types.h"
#include "format/volume_layout.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30U;

Estimate stored(std::uint64_t blocks) {
  Estimate estimate;
  estimate.counts.data = blocks;
  estimate.stored_blocks = blocks;
  estimate.index_records = blocks;
  return estimate;
}

TEST(Recommendation, AVolumeOfThoseSizesCanBeMade) {
  for (const std::uint64_t bytes : {kGiB / 1024, kGiB, 100 * kGiB, 10240 * kGiB, 102400 * kGiB}) {
    const auto advice = recommend(stored(bytes / kBlockSize), DataUse::image);
    ASSERT_TRUE(advice) << bytes;
    FormatRequest request;
    request.device_bytes = advice->physical_bytes;
    request.slab_bits = advice->slab_bits;
    request.index_memory = advice->index_memory;
    request.sparse = advice->sparse;
    request.logical_bytes = advice->logical_bytes;
    const auto made = make_volume_layout(request);
    ASSERT_TRUE(made) << bytes << ": " << made.error().message();
    EXPECT_GE(advice->logical_bytes, bytes);
    EXPECT_GE(made->super_block.depot.slab_count() * made->super_block.depot.slab.data_blocks,
              bytes / kBlockSize * 11 / 10);
  }
}

TEST(Recommendation, LargeDataGetLargeSlabsAndALargeIndex) {
  const auto small = recommend(stored(kGiB / kBlockSize), DataUse::image);
  const auto large = recommend(stored(20480 * kGiB / kBlockSize), DataUse::image);
  ASSERT_TRUE(small);
  ASSERT_TRUE(large);
  EXPECT_EQ(small->slab_bits, 15U);
  EXPECT_GT(large->slab_bits, 19U);
  EXPECT_EQ(small->index_memory, kQuarterGigabyte);
  EXPECT_FALSE(small->sparse);
  EXPECT_TRUE(large->sparse);
}

TEST(Recommendation, AFileSystemTakesRoomOfItsOwn) {
  const auto image = recommend(stored(100 * kGiB / kBlockSize), DataUse::image);
  const auto files = recommend(stored(100 * kGiB / kBlockSize), DataUse::file_system);
  ASSERT_TRUE(image);
  ASSERT_TRUE(files);
  EXPECT_EQ(image->logical_bytes, 100 * kGiB);
  EXPECT_EQ(files->logical_bytes, 125 * kGiB);
}

TEST(Recommendation, RefusesWhatNoVolumeHolds) {
  const auto advice = recommend(stored(std::uint64_t{1} << 37U), DataUse::image);
  ASSERT_FALSE(advice);
  EXPECT_EQ(advice.error().code(), Errc::out_of_range);
}

}  // namespace
}  // namespace uvdo
