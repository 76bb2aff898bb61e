// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/kept_memory.h"

#include <gtest/gtest.h>

#include "volume/kept_start.h"
#include "volume/volume_options.h"

namespace uvdo {
namespace {

class KeptMemoryTest : public ::testing::Test {
 protected:
  KeptMemoryTest() {
    geometry.nonce = 77;
    geometry.uuid[3] = std::byte{9};
    super_block.state = VolumeState::dirty;
    super_block.complete_recoveries = 2;
    super_block.journal.journal_start = JournalSequence{40};
  }
  [[nodiscard]] std::byte* slot(std::size_t index) {
    return memory.data() + layout.arena() + index * kBlockSize;
  }
  /// A memory of the run of `of`.
  AlignedMemory memory_of(const SuperBlock& of, KeptPhase phase,
                          const VolumeRun& predecessor = {}) {
    AlignedMemory one(layout.bytes());
    KeptMemory owner(one.bytes(), layout);
    const JournalMemory journal(owner.journal());
    owner.begin(geometry, of, phase, predecessor);
    owner.keep(Lbn{5}, one.data() + layout.arena());
    return one;
  }
  KeptStart choose(std::vector<ConstBytes> left) {
    KeptStart start(std::move(left));
    start.choose(geometry, super_block, [this](const LogLine& line) { log += line.text + "\n"; });
    return start;
  }

  VolumeGeometry geometry;
  SuperBlock super_block;
  KeptLayout layout{4};
  AlignedMemory memory{layout.bytes()};
  std::string log;
};

TEST_F(KeptMemoryTest, HasRoomForTheBuffersOfAVolume) {
  VolumeOptions options;
  options.buffer_bytes = 1U << 20U;
  options.packer_fragments = 3;
  const KeptLayout of = KeptLayout::of(options);
  EXPECT_EQ(of.slots, ((1U << 20U) + options.internal_buffer_bytes) / kBlockSize + 4);
  EXPECT_EQ(of.arena() % kBlockSize, 0U);
}

TEST_F(KeptMemoryTest, SaysWhichWritesAreInIt) {
  KeptMemory owner(memory.bytes(), layout);
  owner.keep(Lbn{1}, slot(0));  // nobody is served yet
  owner.begin(geometry, super_block, KeptPhase::in_use, {});
  owner.keep(Lbn{0}, slot(1));
  owner.keep(Lbn{7}, slot(2));
  owner.keep(Lbn{8}, slot(3));
  owner.forget(slot(2));
  owner.move(slot(3), slot(0));
  *slot(0) = std::byte{0x5A};
  const auto header = KeptHeader::read(memory.bytes());
  ASSERT_TRUE(header.ok());
  EXPECT_EQ(header->phase, KeptPhase::in_use);
  EXPECT_EQ(header->uuid, geometry.uuid);
  EXPECT_EQ(header->run, (VolumeRun{40, 2, 0}));
  std::uint64_t wrong = 0;
  auto blocks = kept_blocks(memory.bytes(), *header, 100, wrong);
  ASSERT_EQ(blocks.size(), 2U);
  EXPECT_EQ(blocks[0].lbn, Lbn{8});
  EXPECT_EQ(blocks[0].data[0], std::byte{0x5A});
  EXPECT_EQ(blocks[1].lbn, Lbn{0});
  EXPECT_EQ(wrong, 0U);
  blocks = kept_blocks(memory.bytes(), *header, 8, wrong);
  EXPECT_EQ(blocks.size(), 1U) << "the volume has no block 8";
  EXPECT_EQ(wrong, 1U);
}

TEST_F(KeptMemoryTest, ThatMakesNoSenseIsRefused) {
  EXPECT_FALSE(KeptHeader::read(memory.bytes()).ok()) << "nobody has begun with it";
  const KeptMemory owner(memory.bytes(), layout);
  EXPECT_TRUE(KeptHeader::read(memory.bytes()).ok());
  EXPECT_FALSE(KeptHeader::read(memory.bytes().first(memory.size() - 1)).ok());
  EXPECT_FALSE(KeptHeader::read(memory.bytes().first(8)).ok());
  SharedWords words(memory.bytes().first(kBlockSize));
  words.set(3, UINT64_MAX);
  EXPECT_FALSE(KeptHeader::read(memory.bytes()).ok()) << "more slots than there is memory";
  words.set(3, 4);
  words.set(2, 9);
  EXPECT_FALSE(KeptHeader::read(memory.bytes()).ok()) << "a phase that there is not";
  words.set(2, 0);
  words.set(1, 2);
  EXPECT_EQ(KeptHeader::read(memory.bytes()).error().code(), Errc::unsupported);
}

TEST_F(KeptMemoryTest, IsUsedForTheRunThatTheDiskTellsOf) {
  const AlignedMemory left = memory_of(super_block, KeptPhase::in_use);
  KeptStart start = choose({left.bytes()});
  EXPECT_TRUE(start.is_due());
  EXPECT_EQ(start.predecessor(), VolumeRun::of(super_block));
  const auto blocks = start.blocks(6, [](const LogLine&) {});
  ASSERT_EQ(blocks.size(), 1U);
  EXPECT_EQ(blocks[0].lbn, Lbn{5});
  EXPECT_TRUE(start.is_due());
  EXPECT_TRUE(start.blocks(5, [](const LogLine&) {}).empty());
  EXPECT_FALSE(start.report().loss.empty()) << "a block that the volume has not";
}

TEST_F(KeptMemoryTest, OfAnEarlierRunIsLeftAloneAndToldOf) {
  const AlignedMemory left = memory_of(super_block, KeptPhase::in_use);
  ++super_block.complete_recoveries;
  KeptStart start = choose({left.bytes()});
  EXPECT_FALSE(start.is_due());
  EXPECT_NE(start.report().loss.find("in use elsewhere"), std::string::npos) << log;
}

TEST_F(KeptMemoryTest, OfAVolumeThatWasSavedSinceIsLeftAlone) {
  const AlignedMemory left = memory_of(super_block, KeptPhase::in_use);
  super_block.state = VolumeState::clean;
  EXPECT_FALSE(choose({left.bytes()}).is_due());
}

TEST_F(KeptMemoryTest, OfAnotherVolumeIsLeftAlone) {
  const AlignedMemory left = memory_of(super_block, KeptPhase::in_use);
  geometry.uuid[3] = std::byte{10};
  KeptStart start = choose({left.bytes()});
  EXPECT_FALSE(start.is_due());
  EXPECT_TRUE(start.report().loss.empty());
  EXPECT_NE(log.find("of another volume"), std::string::npos) << log;
}

TEST_F(KeptMemoryTest, IsUsedAgainWhereItsSuccessorDiedBeforeItServedAnybody) {
  const AlignedMemory first = memory_of(super_block, KeptPhase::in_use);
  const VolumeRun run = VolumeRun::of(super_block);
  ++super_block.complete_recoveries;
  const AlignedMemory second = memory_of(super_block, KeptPhase::applying, run);
  KeptStart start = choose({second.bytes(), first.bytes()});
  EXPECT_TRUE(start.is_due());
  EXPECT_EQ(start.predecessor(), run);
}

TEST_F(KeptMemoryTest, OfAServerThatHadGivenUpIsNoPromise) {
  const AlignedMemory left = memory_of(super_block, KeptPhase::in_use);
  SharedWords(left.bytes().first(kBlockSize)).set(2, 3);
  KeptStart start = choose({left.bytes()});
  EXPECT_FALSE(start.is_due());
  EXPECT_NE(start.report().loss.find("read-only"), std::string::npos);
}

}  // namespace
}  // namespace uvdo
