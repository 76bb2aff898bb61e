// SPDX-License-Identifier: GPL-2.0-or-later
// Record names against the check values of the format; the test for zeros; advice.
#include "format/record_name.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "format/advice.h"
#include "format/test_fixture.h"
#include "format/uuid.h"
#include "format/zero_block.h"

namespace uvdo {
namespace {

std::string hex(const RecordName& name) {
  std::string text;
  for (const std::byte b : name.bytes) text += fmt::format("{:02x}", std::to_integer<int>(b));
  return text;
}

TEST(RecordName, HasTheCheckValuesOfTheFormat) {
  test::Block ones(kBlockSize, std::byte{0xFF});
  test::Block bytes(kBlockSize);
  test::Block words(kBlockSize);
  for (std::size_t i = 0; i < kBlockSize; ++i) bytes[i] = static_cast<std::byte>(i);
  for (std::uint32_t i = 0; i < 1024; ++i) store_le32(words.data() + std::size_t{4} * i, i);
  EXPECT_EQ(hex(record_name_of(ones.data())), "2cf69009d52d6d3523e969b0c066121a");
  EXPECT_EQ(hex(record_name_of(bytes.data())), "e780e2dafd9f88cdac7f54d5960be94c");
  EXPECT_EQ(hex(record_name_of(words.data())), "0998323cbb9968ae9585ff484a42b58b");
}

TEST(RecordName, OfManyBlocksIsThatOfEach) {
  std::mt19937_64 random(test::kSeed);
  std::vector<test::Block> blocks;
  std::vector<const std::byte*> pointers;
  for (int i = 0; i < 71; ++i) blocks.push_back(test::random_block(random));
  for (const auto& block : blocks) pointers.push_back(block.data());
  std::vector<RecordName> names(blocks.size());
  record_names_of(pointers, names.data());
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    EXPECT_EQ(names[i], record_name_of(blocks[i].data())) << i;
  }
}

TEST(ZeroBlock, IsFoundAndASingleBitAnywhereIsSeen) {
  test::Block block(kBlockSize + 1);
  EXPECT_TRUE(is_zero_block(block.data()));
  EXPECT_TRUE(is_zero_block(block.data() + 1));
  for (std::size_t i = 0; i < kBlockSize; ++i) {
    block[i] = std::byte{0x80};
    EXPECT_FALSE(is_zero_block(block.data())) << i;
    block[i] = std::byte{0};
  }
  block[kBlockSize] = std::byte{1};
  EXPECT_TRUE(is_zero_block(block.data()));
}

TEST(Advice, KeepsTheMappingInTheDocumentedBytes) {
  const BlockMapping mapping = mapped_to_fragment(Pbn{0xF12345678}, 13);
  const AdviceBytes bytes = encode_advice(mapping);
  EXPECT_EQ(load_u8(bytes.data()), 2);
  EXPECT_EQ(load_u8(bytes.data() + 1), 15);
  EXPECT_EQ(load_le64(bytes.data() + 2), 0xF12345678U);
  EXPECT_EQ(decode_advice(bytes.data()), mapping);
}

TEST(Advice, IgnoresUnusedBytesAndRefusesWhatIsNoMapping) {
  AdviceBytes good = encode_advice(mapped_to(Pbn{9}));
  good[15] = std::byte{0xEE};
  EXPECT_EQ(decode_advice(good.data()), mapped_to(Pbn{9}));
  const auto refuses = [&](std::size_t at, int value) {
    AdviceBytes bad = good;
    bad[at] = static_cast<std::byte>(value);
    return !decode_advice(bad.data()).has_value();
  };
  EXPECT_TRUE(refuses(0, 1)) << "version";
  EXPECT_TRUE(refuses(1, 0)) << "unmapped";
  EXPECT_TRUE(refuses(1, 16)) << "no such state";
  EXPECT_TRUE(refuses(2, 0)) << "PBN 0";
  EXPECT_TRUE(refuses(9, 1)) << "PBN above 36 bits";
}

TEST(Uuid, IsWrittenInFiveGroups) {
  Uuid uuid{};
  for (std::size_t i = 0; i < uuid.size(); ++i) uuid[i] = static_cast<std::byte>(i * 17);
  EXPECT_EQ(to_text(uuid), "00112233-4455-6677-8899-aabbccddeeff");
}

}  // namespace
}  // namespace uvdo
