// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/sparse_device.h"

#include <gtest/gtest.h>

#include "base/aligned_memory.h"
#include "base/block_types.h"
#include "device/blocking_device.h"
#include "device/memory_device.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kSize = 1ULL << 40U;
constexpr std::uint64_t kFar = kSize / 2;

TEST(SparseDevice, HasWhatWasWrittenAndZerosElsewhere) {
  SparseImage image(kSize);
  const AlignedMemory block(kBlockSize);
  block.data()[5] = std::byte{9};
  image.write(kFar, block.bytes());
  const BlockingDevice device(std::make_unique<SparseDevice>(image));
  std::array<std::byte, 1> found{};
  ASSERT_TRUE(device.read(kFar + 5, found).ok());
  EXPECT_EQ(found[0], std::byte{9});
  ASSERT_TRUE(device.read(kFar - 1, found).ok());
  EXPECT_EQ(found[0], std::byte{0});
  EXPECT_EQ(device.read(kSize, found).error().code(), Errc::out_of_range);
}

TEST(SparseDevice, KnowsWhereTheNextDataAre) {
  SparseImage image(kSize);
  const AlignedMemory block(kBlockSize);
  image.write(kFar, block.bytes());
  image.write(kFar + 2 * kBlockSize, block.bytes());
  SparseDevice device(std::move(image));
  EXPECT_EQ(device.next_data(0, kSize), kFar);
  EXPECT_EQ(device.next_data(0, kFar / 2), kFar / 2);
  EXPECT_EQ(device.next_data(kFar + 7, kSize), kFar + 7);
  EXPECT_EQ(device.next_data(kFar + kBlockSize + 7, kSize), kFar + 2 * kBlockSize);
  EXPECT_EQ(device.next_data(kFar + 3 * kBlockSize, kSize), kSize);
}

TEST(MemoryDevice, ZeroesAndDiscardsARange) {
  auto device = std::move(*MemoryDevice::create(4 * kBlockSize));
  std::ranges::fill(device->bytes(), std::byte{7});
  for (const auto op : {Device::Op::write_zeroes, Device::Op::discard}) {
    Device::Request request;
    request.op = op;
    request.offset = op == Device::Op::discard ? 3 * kBlockSize : kBlockSize;
    request.length = kBlockSize;
    device->submit(request);
    EXPECT_TRUE(request.done);
    EXPECT_EQ(request.error, 0);
  }
  for (const std::size_t block : {0U, 1U, 2U}) {
    EXPECT_EQ(device->bytes()[block * kBlockSize], block == 1 ? std::byte{0} : std::byte{7});
  }
}

}  // namespace
}  // namespace uvdo
