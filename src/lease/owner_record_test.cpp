// SPDX-License-Identifier: GPL-2.0-or-later
#include "lease/owner_record.h"

#include <gtest/gtest.h>

#include "base/aligned_memory.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kNonce = 0x1234'5678'9abc'def0;

OwnerRecord some_record() {
  OwnerRecord record;
  record.state = OwnerRecord::State::held;
  record.lease_seconds = 30;
  record.generation = 7;
  record.beat = 99;
  record.owner[3] = std::byte{0xaa};
  record.boot[15] = std::byte{0xbb};
  record.process = 4711;
  record.host = "store-1.example";
  record.next_place = 8 * kBlockSize;
  return record;
}

struct OwnerRecordTest : testing::Test {
  OwnerRecordTest() { encode_owner_record(some_record(), kNonce, block.bytes()); }
  AlignedMemory block{kBlockSize};
};

TEST_F(OwnerRecordTest, ComesBackAsItWas) {
  const auto found = decode_owner_record(block.bytes(), kNonce);
  ASSERT_TRUE(found);
  ASSERT_TRUE(*found);
  EXPECT_EQ(**found, some_record());
}

TEST_F(OwnerRecordTest, IsWhollyInTheFirstSector) {
  for (std::size_t i = 512; i < kBlockSize; ++i) EXPECT_EQ(block.data()[i], std::byte{0});
}

TEST_F(OwnerRecordTest, OfAnotherVolumeIsNone) {
  const auto found = decode_owner_record(block.bytes(), kNonce + 1);
  ASSERT_TRUE(found);
  EXPECT_FALSE(*found);
  const AlignedMemory zeros(kBlockSize);
  const auto nothing = decode_owner_record(zeros.bytes(), kNonce);
  ASSERT_TRUE(nothing);
  EXPECT_FALSE(*nothing);
}

TEST_F(OwnerRecordTest, EachFlippedBitIsNoticed) {
  for (std::size_t bit = 0; bit < 512 * 8; ++bit) {
    block.data()[bit / 8] ^= std::byte{1} << bit % 8;
    const auto found = decode_owner_record(block.bytes(), kNonce);
    if (bit < 64) {
      EXPECT_TRUE(found && !*found) << "without its magic number it is none";
    } else {
      EXPECT_EQ(found.error().code(), Errc::corrupt) << bit;
    }
    block.data()[bit / 8] ^= std::byte{1} << bit % 8;
  }
}

TEST_F(OwnerRecordTest, AMakerOfNonsenseIsNotBelieved) {
  OwnerRecord nonsense = some_record();
  nonsense.lease_seconds = kLongestLease + 1;
  encode_owner_record(nonsense, kNonce, block.bytes());
  EXPECT_EQ(decode_owner_record(block.bytes(), kNonce).error().code(), Errc::corrupt);
  nonsense = some_record();
  nonsense.state = static_cast<OwnerRecord::State>(5);
  encode_owner_record(nonsense, kNonce, block.bytes());
  EXPECT_EQ(decode_owner_record(block.bytes(), kNonce).error().code(), Errc::corrupt);
}

}  // namespace
}  // namespace uvdo
