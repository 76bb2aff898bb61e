// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/sparse_image.h"

#include <cstdio>
#include <cstring>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "async/sim_random.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kHuge = std::uint64_t{1} << 40U;

std::vector<std::byte> filled(std::size_t size, int value) {
  return std::vector<std::byte>(size, static_cast<std::byte>(value));
}

TEST(SparseImage, HoldsWhatIsWrittenAndZerosElsewhere) {
  SparseImage image(kHuge);
  SimRandom random(1);
  std::map<std::uint64_t, std::byte> expected;
  for (int i = 0; i < 200; ++i) {
    const std::uint64_t offset =
        random.chance(1, 2) ? random.below(20000) : random.below(kHuge - 9000);
    const std::vector<std::byte> data = filled(random.between(1, 9000), i + 1);
    image.write(offset, data);
    for (std::size_t k = 0; k < data.size(); ++k) expected[offset + k] = data[k];
  }
  for (const auto& [offset, byte] : expected) {
    std::byte found{};
    image.read(offset, {&found, 1});
    ASSERT_EQ(found, byte) << "at " << offset;
  }
  std::vector<std::byte> around(16384, std::byte{0xFF});
  image.read(kHuge - around.size(), around);
  EXPECT_EQ(around, filled(around.size(), 0));
}

TEST(SparseImage, CopiesDoNotSeeEachOthersWrites) {
  SparseImage first(kHuge);
  first.write(0, filled(4096, 1));
  SparseImage second = first;
  second.write(100, filled(10, 2));
  first.write(200, filled(10, 3));
  std::vector<std::byte> a(4096);
  std::vector<std::byte> b(4096);
  first.read(0, a);
  second.read(0, b);
  EXPECT_EQ(a[100], std::byte{1});
  EXPECT_EQ(a[200], std::byte{3});
  EXPECT_EQ(b[100], std::byte{2});
  EXPECT_EQ(b[200], std::byte{1});
}

TEST(SparseImage, HashTellsContentsApartAndNothingElse) {
  SparseImage a(kHuge);
  EXPECT_EQ(a.hash(), SparseImage(kHuge).hash());
  a.write(0, filled(4096, 0));
  EXPECT_EQ(a.hash(), SparseImage(kHuge).hash());  // zeros are zeros, written or not
  a.write(8192, filled(512, 7));
  const std::uint64_t hash = a.hash();
  EXPECT_NE(hash, SparseImage(kHuge).hash());
  SparseImage moved(kHuge);
  moved.write(4096, filled(512, 7));
  EXPECT_NE(moved.hash(), hash);
  SparseImage copy = a;
  copy.write(kHuge - 1, filled(1, 1));
  EXPECT_NE(copy.hash(), hash);
  copy.write(kHuge - 1, filled(1, 0));
  EXPECT_EQ(copy.hash(), hash);
  EXPECT_EQ(a.hash(), hash);
}

TEST(SparseImage, SavesAndLoads) {
  const std::string path = testing::TempDir() + "sparse_image_test.img";
  SparseImage image(std::uint64_t{1} << 30U);
  image.write(5000, filled(3000, 9));
  image.write((std::uint64_t{1} << 30U) - 512, filled(512, 8));
  ASSERT_TRUE(image.save(path));
  const Result<SparseImage> loaded = SparseImage::load(path);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->size(), image.size());
  EXPECT_EQ(loaded->hash(), image.hash());
  EXPECT_LE(loaded->allocated(), 4U * 4096U);
  std::remove(path.c_str());
}

}  // namespace
}  // namespace uvdo
