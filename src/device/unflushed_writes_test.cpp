// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/unflushed_writes.h"

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include "base/block_types.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kBlocks = 16;

/// Blocks of that letter.
std::shared_ptr<AlignedMemory> blocks_of(char letter, std::uint64_t count) {
  auto memory = std::make_shared<AlignedMemory>(count * kBlockSize);
  std::ranges::fill(memory->bytes(), static_cast<std::byte>(letter));
  return memory;
}

void write(UnflushedWrites& writes, char letter, std::uint64_t block, std::uint64_t count) {
  writes.add(block * kBlockSize, count * kBlockSize, blocks_of(letter, count));
}

/// A letter for each block: "." where nothing is kept, "0" for zeros.
std::string text_of(const UnflushedWrites& writes) {
  std::string text(kBlocks, '.');
  writes.for_each([&](const UnflushedWrites::Piece& piece) {
    for (std::uint64_t at = 0; at < piece.length; at += kBlockSize) {
      char& letter = text[(piece.offset + at) / kBlockSize];
      EXPECT_EQ(letter, '.') << "two pieces overlap";
      letter = piece.data == nullptr ? '0' : static_cast<char>(piece.data[at]);
    }
  });
  return text;
}

TEST(UnflushedWrites, TheLatestContentOfEachBlockIsKept) {
  UnflushedWrites writes;
  write(writes, 'a', 2, 6);
  write(writes, 'b', 4, 2);
  write(writes, 'c', 0, 3);
  write(writes, 'd', 7, 3);
  EXPECT_EQ(text_of(writes), "cccabbaddd......");
  writes.add(1 * kBlockSize, 8 * kBlockSize, nullptr);
  EXPECT_EQ(text_of(writes), "c00000000d......");
}

TEST(UnflushedWrites, WhatIsForgottenLeavesItsNeighbours) {
  UnflushedWrites writes;
  write(writes, 'a', 0, 8);
  writes.forget(3 * kBlockSize, 2 * kBlockSize);
  EXPECT_EQ(text_of(writes), "aaa..aaa........");
  writes.forget(0, kBlocks * kBlockSize);
  EXPECT_TRUE(writes.empty());
}

TEST(UnflushedWrites, AFlushForgetsWhatWasThereWhenItBegan) {
  UnflushedWrites writes;
  write(writes, 'a', 0, 4);
  const std::uint64_t mark = writes.mark();
  write(writes, 'b', 1, 2);
  EXPECT_EQ(writes.held(), 6 * kBlockSize);
  writes.forget_up_to(mark);
  EXPECT_EQ(text_of(writes), ".bb.............");
  EXPECT_EQ(writes.held(), 2 * kBlockSize);
  writes.forget_up_to(writes.mark());
  EXPECT_TRUE(writes.empty());
  EXPECT_EQ(writes.held(), 0U);
}

TEST(UnflushedWrites, MemoryThatIsSharedCountsUntilItsFlush) {
  UnflushedWrites writes;
  write(writes, 'a', 0, 8);
  for (std::uint64_t block = 0; block < 8; ++block) write(writes, 'b', block, 1);
  EXPECT_EQ(text_of(writes), "bbbbbbbb........");
  EXPECT_EQ(writes.held(), 16 * kBlockSize);
}

}  // namespace
}  // namespace uvdo
