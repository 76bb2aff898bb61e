// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/suspension.h"

#include "volume/testing/changing_fixture.h"

namespace uvdo {
namespace {

using State = Suspension::State;

/// Suspends what all the other parts do, and so has all of them beneath it.
class SuspensionTest : public testing::ChangingFixture {
 protected:
  Task<void> suspend(SuspendMode mode) {
    auto done = co_await suspension.suspend(mode);
    EXPECT_TRUE(done.ok()) << done.error().message();
  }
  Task<void> resume() {
    auto done = co_await suspension.resume();
    EXPECT_TRUE(done.ok()) << done.error().message();
  }
  static constexpr Lbn kLbn{7};
};

TEST_F(SuspensionTest, ASavedVolumeIsCleanOnItsDeviceWhichIsLetGoOf) {
  run([this]() -> Task<void> {
    EXPECT_TRUE((co_await write(kLbn, 1)).ok());
    co_await suspend(SuspendMode::save);
    EXPECT_EQ(suspension.state(), State::saved);
    EXPECT_EQ(on_disk().state, VolumeState::clean);
    EXPECT_EQ(on_disk().journal.logical_blocks_used, 1U);
    EXPECT_FALSE(lent.is_open);
    co_await resume();
  });
}

TEST_F(SuspensionTest, WithoutASaveWhatWasAnsweredIsStableAndTheVolumeIsAsAfterACrash) {
  run([this]() -> Task<void> {
    EXPECT_TRUE((co_await write(kLbn, 1)).ok());
    co_await suspend(SuspendMode::no_save);
    EXPECT_EQ(suspension.state(), State::suspended);
    EXPECT_EQ(on_disk().state, VolumeState::dirty);
    EXPECT_TRUE(ledger->journal().is_committed(ledger->journal().last_point()));
    EXPECT_NE(co_await mapping_of(kLbn), kUnmapped);
    EXPECT_GT(ledger->map().dirty_pages(), 0U);
    co_await resume();
  });
}

TEST_F(SuspensionTest, NothingReachesTheDeviceBeforeItIsResumedAndNoRequestIsLost) {
  run([this]() -> Task<void> {
    co_await suspend(SuspendMode::save);
    const std::uint64_t before = device.requests();
    std::optional<Result<void>> written;
    std::optional<Result<void>> flushed;
    TaskGroup tasks(executor);
    tasks.start(keep(write(kLbn, 1), written));
    AlignedMemory block(kBlockSize);
    tasks.start(
        [](Device& way, MutableBytes to, std::optional<Result<void>>& result) -> Task<void> {
          result.emplace(co_await way.read(0, to));  // as what goes on in the background
        }(gates.top(), block.bytes(), flushed));
    co_await settle();
    EXPECT_FALSE(written);
    EXPECT_FALSE(flushed);
    EXPECT_EQ(device.requests(), before);
    co_await resume();
    co_await tasks.wait();
    EXPECT_TRUE(written->ok());
    EXPECT_TRUE(flushed->ok());
    EXPECT_TRUE(co_await reads_as(kLbn, 1));
  });
}

TEST_F(SuspensionTest, ItIsMarkedInUseBeforeAnybodyIsLetIn) {
  run([this]() -> Task<void> {
    co_await suspend(SuspendMode::save);
    const std::uint64_t at = byte_of(layout->geometry.data_start);
    device.add_fault(testing::hanging(Device::Op::write, at, at + kBlockSize));
    std::optional<Result<void>> resumed;
    TaskGroup tasks(executor);
    tasks.start(keep(suspension.resume(), resumed));
    co_await settle();
    EXPECT_EQ(device.in_flight(), 1U);
    EXPECT_TRUE(gates.hold.is_closed());
    EXPECT_TRUE(entrance.gate().is_closed());
    device.clear_faults();
    device.release_hung(0);
    co_await tasks.wait();
    EXPECT_TRUE(resumed->ok());
    EXPECT_EQ(on_disk().state, VolumeState::dirty);
    EXPECT_TRUE(entrance.gate().is_open());
  });
}

TEST_F(SuspensionTest, WhatIsNotTheVolumeAsItWasLeftIsNotResumed) {
  run([this]() -> Task<void> {
    co_await suspend(SuspendMode::save);
    lent.is_gone = true;
    expect_error(co_await suspension.resume(), Errc::busy, "the volume is still suspended");
    lent.is_gone = false;

    // Somebody has started it meanwhile.
    SuperBlock other = on_disk();
    other.state = VolumeState::dirty;
    const PbnDevice disk(device, layout->geometry.bio_offset);
    const Pbn at = layout->geometry.data_start;
    EXPECT_TRUE((co_await write_super_block(disk, at, other)).ok());
    expect_error(co_await suspension.resume(), Errc::corrupt, "in another state");
    EXPECT_EQ(suspension.state(), State::saved);
    EXPECT_FALSE(lent.is_open);
    other.state = VolumeState::clean;
    EXPECT_TRUE((co_await write_super_block(disk, at, other)).ok());

    lent.size_now = kVolumeBytes / 2;
    expect_error(co_await suspension.resume(), Errc::corrupt, "the copy is not complete");
    lent.size_now = kDeviceBytes;
    co_await resume();
  });
}

TEST_F(SuspensionTest, AVolumeThatCannotBeSavedGoesOnReadOnly) {
  run([this]() -> Task<void> {
    EXPECT_TRUE((co_await write(kLbn, 1)).ok());
    device.add_fault(testing::failing(Device::Op::flush));
    auto done = co_await suspension.suspend(SuspendMode::save);
    expect_error(done, Errc::io, "not suspended, but in read-only mode");
    EXPECT_FALSE(suspension.is_suspended());
    EXPECT_TRUE(notifier.is_read_only());
    EXPECT_TRUE(entrance.gate().is_open());
    EXPECT_TRUE(co_await reads_as(kLbn, 1));
    device.clear_faults();
  });
}

TEST_F(SuspensionTest, WhereTheDeviceCannotBeLetGoOfTheVolumeGoesOnAsBefore) {
  run([this]() -> Task<void> {
    lent.is_gone = true;
    auto done = co_await suspension.suspend(SuspendMode::save);
    expect_error(done, Errc::not_found, "not suspended");
    EXPECT_EQ(on_disk().state, VolumeState::dirty);
    EXPECT_TRUE((co_await write(kLbn, 1)).ok());
    EXPECT_TRUE(co_await reads_as(kLbn, 1));
  });
}

TEST_F(SuspensionTest, OneThatWasSavedEndsAsItIsAndWhoWaitsIsRefused) {
  run([this]() -> Task<void> {
    expect_error(co_await suspension.resume(), Errc::invalid_argument, "not suspended");
    co_await suspend(SuspendMode::save);
    expect_error(co_await suspension.suspend(SuspendMode::save), Errc::busy, "suspended already");
    std::optional<Result<void>> written;
    TaskGroup tasks(executor);
    tasks.start(keep(write(kLbn, 1), written));
    co_await settle();
    EXPECT_TRUE((co_await suspension.end()).ok());
    co_await tasks.wait();
    EXPECT_EQ(written->error().code(), Errc::cancelled);
    EXPECT_EQ(suspension.state(), State::abandoned);
    EXPECT_EQ(on_disk().state, VolumeState::clean);
    EXPECT_FALSE(lent.is_open);
  });
}

}  // namespace
}  // namespace uvdo
