// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/read_path.h"

#include <array>

#include "format/compressed_block.h"
#include "volume/testing/parts_fixture.h"

namespace uvdo {
namespace {

using testing::are_equal;
using testing::noise;

class ReadPathTest : public testing::PartsFixture {
 protected:
  ReadPath make() {
    return {executor,     blocks(), *ledger, in_flight,        entrance,
            index_holder, buffers,  options, counters.requests};
  }
  static Task<void> expect_read(ReadPath& reads, Lbn lbn, MutableBytes to) {
    auto done = co_await reads.read(lbn.value() * kBlockSize, to);
    EXPECT_TRUE(done.ok());
  }
  [[nodiscard]] std::uint64_t reads_of_device() const { return requests_of(Device::Op::read); }

  static constexpr Lbn kLbn{7};
  AlignedMemory out{8 * kBlockSize};
};

TEST_F(ReadPathTest, WhatWasNeverWrittenIsZerosAndTakesNoRequest) {
  run([this]() -> Task<void> {
    ReadPath reads = make();
    std::memset(out.data(), 1, out.size());
    co_await map_to(kLbn, kMappedZero);
    const std::uint64_t before = reads_of_device();
    auto done = co_await reads.read((kLbn - 2).value() * kBlockSize, out.bytes());
    EXPECT_TRUE(done.ok());
    EXPECT_TRUE(are_equal(out.bytes(), AlignedMemory(out.size()).bytes()));
    EXPECT_EQ(reads_of_device(), before);
  });
}

TEST_F(ReadPathTest, NeighboursOnTheDeviceAreReadAtOnce) {
  run([this]() -> Task<void> {
    ReadPath reads = make();
    co_await map_to(kLbn, kMappedZero);  // its leaf takes blocks too
    const Pbn first = co_await put(kLbn, 1);
    for (std::uint64_t n = 1; n < 4; ++n) {
      EXPECT_EQ(co_await put(kLbn + n, 1 + n), first + n);
    }
    const std::uint64_t before = reads_of_device();
    auto done = co_await reads.read(kLbn.value() * kBlockSize, out.bytes().first(4 * kBlockSize));
    EXPECT_TRUE(done.ok());
    for (std::uint64_t n = 0; n < 4; ++n) {
      EXPECT_TRUE(are_equal(out.block(n), noise(1 + n).bytes())) << n;
    }
    EXPECT_EQ(reads_of_device(), before + 1);
  });
}

TEST_F(ReadPathTest, DataThatAreBeingWrittenGoBeforeWhatTheMapSays) {
  run([this]() -> Task<void> {
    ReadPath reads = make();
    co_await put(kLbn, 1);
    co_await put(kLbn + 1, 2);
    const AlignedMemory newer = noise(3);
    co_await in_flight.locks().lock(kLbn + 1);
    in_flight.locks().publish(kLbn + 1, newer.data());
    for (const std::size_t count : {1U, 2U}) {  // each has a way of its own
      auto done = co_await reads.read((kLbn + 2 - count).value() * kBlockSize,
                                      out.bytes().first(count * kBlockSize));
      EXPECT_TRUE(done.ok());
      EXPECT_TRUE(are_equal(out.block(count - 1), newer.bytes())) << count;
    }
    EXPECT_TRUE(are_equal(out.block(0), noise(1).bytes()));
    in_flight.locks().unlock(kLbn + 1);
  });
}

/// Reads of one block, which go straight to the device, and of several.
class ReadPathOfBlocks : public ReadPathTest, public ::testing::WithParamInterface<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(Ways, ReadPathOfBlocks, ::testing::Values(1, 2));

TEST_P(ReadPathOfBlocks, ABlockThatWasFoundInTheMapKeepsItsDataUntilItHasBeenRead) {
  run([this]() -> Task<void> {
    ReadPath reads = make();
    const Pbn pbn = co_await put(kLbn, 1);
    device.add_fault(testing::hanging(Device::Op::read, byte_of(pbn), byte_of(pbn + 1)));
    TaskGroup tasks(executor);
    tasks.start(expect_read(reads, kLbn, out.bytes().first(GetParam() * kBlockSize)));
    co_await settle();
    EXPECT_EQ(device.in_flight(), 1U);

    co_await map_to(kLbn, kUnmapped);
    EXPECT_TRUE((co_await ledger->journal().commit_all()).ok());
    tasks.start(depot.wait_for_frees());
    co_await settle();
    EXPECT_FALSE(depot.claim_free(pbn)) << "it is being read";
    device.release_hung(0);
    co_await tasks.wait();
    EXPECT_TRUE(are_equal(out.block(0), noise(1).bytes()));
    EXPECT_TRUE(depot.claim_free(pbn));
    depot.release(pbn);
  });
}

TEST_P(ReadPathOfBlocks, AReadThatFailsSaysOfWhichBlocksAndNoMoreComesOfIt) {
  run([this]() -> Task<void> {
    ReadPath reads = make();
    const Pbn pbn = co_await put(kLbn, 1);
    device.add_fault(testing::failing(Device::Op::read, byte_of(pbn), byte_of(pbn + 1)));
    const MutableBytes wanted = out.bytes().first(GetParam() * kBlockSize);
    auto done = co_await reads.read(kLbn.value() * kBlockSize, wanted);
    EXPECT_EQ(done.error().code(), Errc::io);
    EXPECT_NE(done.error().message().find("reading logical block"), std::string::npos);
    EXPECT_FALSE(notifier.is_read_only());
    device.clear_faults();
    done = co_await reads.read(kLbn.value() * kBlockSize, wanted);
    EXPECT_TRUE(done.ok());
  });
}

TEST_F(ReadPathTest, PartsOfBlocksAndWholeOnesBetweenThem) {
  run([this]() -> Task<void> {
    ReadPath reads = make();
    std::vector<std::byte> all;
    for (std::uint64_t n = 0; n < 3; ++n) {
      co_await put(kLbn + n, n + 1);
      const AlignedMemory block = noise(n + 1);
      all.insert(all.end(), block.data(), block.data() + kBlockSize);
    }
    std::vector<std::byte> found(2 * kBlockSize);
    auto done = co_await reads.read(kLbn.value() * kBlockSize + 100, found);
    EXPECT_TRUE(done.ok());
    EXPECT_TRUE(are_equal(found, ConstBytes(all).subspan(100, found.size())));
  });
}

TEST_F(ReadPathTest, FragmentsAreReadOutOfTheirBlockWhichIsReadOnce) {
  run([this]() -> Task<void> {
    ReadPath reads = make();
    Lz4Compressor lz4;
    AlignedMemory data(2 * kBlockSize);
    AlignedMemory packed(3 * kBlockSize);
    std::array<ConstBytes, 2> fragments;
    for (std::size_t n = 0; n < 2; ++n) {
      testing::fill_compressible(data.block(n), n);
      fragments[n] = packed.block(n).first(lz4.compress(data.block(n).data(), packed.block(n)));
    }
    build_compressed_block(fragments, packed.block(2));
    const Pbn pbn = new_block();
    EXPECT_TRUE((co_await device.write(byte_of(pbn), packed.block(2))).ok());
    co_await map_to(kLbn, mapped_to_fragment(pbn, 0), Ledger::Owner::caller);
    co_await map_to(kLbn + 1, mapped_to_fragment(pbn, 1));
    const std::uint64_t before = reads_of_device();
    const MutableBytes found = out.bytes().first(2 * kBlockSize);
    auto done = co_await reads.read(kLbn.value() * kBlockSize, found);
    EXPECT_TRUE(done.ok());
    EXPECT_TRUE(are_equal(found, data.bytes()));
    EXPECT_EQ(reads_of_device(), before + 1);

    // Advice may name what was never there: that is no error.
    EXPECT_TRUE(co_await reads.read_unverified(mapped_to_fragment(pbn, 1), out.block(0)));
    EXPECT_TRUE(are_equal(out.block(0), data.block(1)));
    EXPECT_FALSE(co_await reads.read_unverified(mapped_to_fragment(pbn, 2), out.block(0)));
    EXPECT_FALSE(co_await reads.read_unverified(mapped_to_fragment(pbn + 1, 0), out.block(0)));
  });
}

TEST_F(ReadPathTest, ExtentsTellHolesZerosAndDataAlsoOfWritesUnderWay) {
  run([this]() -> Task<void> {
    ReadPath reads = make();
    co_await map_to(Lbn{0}, kMappedZero);
    co_await put(Lbn{2}, 1);
    const AlignedMemory newer = noise(3);
    co_await in_flight.locks().lock(Lbn{3});
    in_flight.locks().publish(Lbn{3}, newer.data());
    constexpr std::uint64_t kEnd = 20 * kEntriesPerPage * kBlockSize;
    auto found = co_await reads.extents(0, kEnd, 10);
    in_flight.locks().unlock(Lbn{3});
    EXPECT_TRUE(found.ok());
    const std::vector<std::pair<std::uint64_t, ExtentKind>> expected{
        {kBlockSize, ExtentKind::zero},
        {kBlockSize, ExtentKind::hole},
        {2 * kBlockSize, ExtentKind::data},
        {kEnd - 4 * kBlockSize, ExtentKind::hole}};
    EXPECT_EQ(found->size(), expected.size());
    for (std::size_t i = 0; i < std::min(found->size(), expected.size()); ++i) {
      EXPECT_EQ((*found)[i].length, expected[i].first) << i;
      EXPECT_EQ((*found)[i].kind, expected[i].second) << i;
    }
  });
}

}  // namespace
}  // namespace uvdo
