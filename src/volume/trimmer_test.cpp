// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/trimmer.h"

#include "volume/testing/parts_fixture.h"

namespace uvdo {
namespace {

class TrimmerTest : public testing::PartsFixture {
 protected:
  TrimmerTest() { options.discard_delay = std::chrono::seconds(1); }
  [[nodiscard]] std::uint64_t discards() const { return device.count_of(Device::Op::discard); }
  /// A run of blocks that become free.
  Task<void> free_blocks_from(Lbn first, std::uint64_t count) {
    for (Lbn lbn = first; lbn < first + count; ++lbn) co_await put(lbn, lbn.value() + 1);
    for (Lbn lbn = first; lbn < first + count; ++lbn) co_await map_to(lbn, kUnmapped);
  }
  Task<void> sleep(Duration duration) {
    Alarm alarm(executor);
    co_await alarm.sleep(duration);
  }
  /// Ends it as the volume does.
  Task<void> end() {
    life.enter(VolumeLife::Stage::leaving);
    life.enter(VolumeLife::Stage::stopping);
    entrance.gate().abandon();
    co_await entrance.gate().drain();
    life.enter(VolumeLife::Stage::ending);
    co_await trimmer.end();
  }

  static constexpr Lbn kLbn{7};
  Trimmer trimmer{executor, blocks(), life, notifier, entrance, *ledger, options, log_to()};
};

TEST_F(TrimmerTest, DiscardsWhatBecomesFreeWhenItsEntryIsStableAndNotBefore) {
  options.discards_freed = true;
  run([this]() -> Task<void> {
    trimmer.start();
    co_await free_blocks_from(kLbn, 10);
    co_await sleep(std::chrono::seconds(3));
    EXPECT_EQ(discards(), 0U) << "the entries may be lost";
    EXPECT_TRUE((co_await ledger->journal().commit_all()).ok());
    co_await sleep(std::chrono::seconds(3));
    EXPECT_GE(discards(), 1U);
    const std::uint64_t before = discards();
    co_await sleep(std::chrono::seconds(30));
    EXPECT_EQ(discards(), before) << "nothing has become free since";
    co_await end();
  });
}

TEST_F(TrimmerTest, DiscardsNothingByItselfWhereThatIsNotWished) {
  run([this]() -> Task<void> {
    trimmer.start();
    co_await free_blocks_from(kLbn, 10);
    EXPECT_TRUE((co_await ledger->journal().commit_all()).ok());
    co_await sleep(std::chrono::seconds(10));
    EXPECT_EQ(discards(), 0U);
    // Whoever asks for it has it done, with what was freed a moment ago.
    co_await free_blocks_from(kLbn, 10);
    auto done = co_await trimmer.trim();
    EXPECT_TRUE(done.ok());
    EXPECT_GE(done->bytes, 10 * kBlockSize);
    EXPECT_EQ(done->runs, discards());
    EXPECT_EQ(trimmer.state(), Trimmer::State::off);
    co_await end();
  });
}

TEST_F(TrimmerTest, ADeviceThatRefusesIsAskedNoMoreAndNoBlockIsLost) {
  options.discards_freed = true;
  run([this]() -> Task<void> {
    trimmer.start();
    const Pbn pbn = co_await put(kLbn, 1);
    const std::uint64_t free = depot.free_blocks();
    device.add_fault({.reads = false,
                      .flushes = false,
                      .begin = byte_of(pbn + 20),
                      .end = byte_of(pbn + 21),
                      .error = EOPNOTSUPP});
    auto done = co_await trimmer.trim();
    EXPECT_FALSE(done.ok());
    EXPECT_EQ(done.error().code(), Errc::unsupported);
    EXPECT_EQ(trimmer.state(), Trimmer::State::refused);
    EXPECT_FALSE(notifier.is_read_only());
    device.clear_faults();
    EXPECT_EQ(depot.free_blocks(), free);
    const std::uint64_t before = discards();
    co_await free_blocks_from(kLbn + 1, 5);
    EXPECT_TRUE((co_await ledger->journal().commit_all()).ok());
    co_await sleep(std::chrono::seconds(5));
    EXPECT_EQ(discards(), before);
    co_await end();
  });
}

TEST_F(TrimmerTest, NothingIsUnderWayWhileRequestsAreHeld) {
  run([this]() -> Task<void> {
    co_await put(kLbn, 1);
    EXPECT_TRUE(co_await entrance.gate().close());
    std::optional<Result<TrimCounts>> done;
    TaskGroup tasks(executor);
    tasks.start([](Trimmer& t, std::optional<Result<TrimCounts>>& result) -> Task<void> {
      result.emplace(co_await t.trim());
    }(trimmer, done));
    co_await sleep(std::chrono::seconds(1));
    EXPECT_EQ(discards(), 0U);
    EXPECT_FALSE(done);
    entrance.gate().open();
    co_await tasks.wait();
    EXPECT_TRUE(done && done->ok());
    EXPECT_GE(discards(), 1U);
    co_await end();
  });
}

}  // namespace
}  // namespace uvdo
