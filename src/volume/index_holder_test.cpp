// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/index_holder.h"

#include <gtest/gtest.h>

#include "async/sim_executor.h"
#include "device/memory_device.h"
#include "volume/testing/entrance_bench.h"

namespace uvdo {
namespace {

/// What became of an index, which can be closed.
struct Seen {
  IndexState state = IndexState::online;
  bool is_enabled = false;
  int saves = 0;
};

class FakeIndex final : public DedupeIndex {
 public:
  explicit FakeIndex(Seen& seen) : seen_(seen) {}
  [[nodiscard]] IndexState state() const override { return seen_.state; }
  [[nodiscard]] IndexStatistics statistics() const override { return {}; }
  [[nodiscard]] std::uint64_t memory_needed() const override { return 0; }
  Task<void> lookup(std::span<IndexQuery>) override { co_return; }
  void record(const IndexQuery&, const IndexData&) override {}
  Task<Result<void>> save() override {
    ++seen_.saves;
    seen_.state = IndexState::closed;
    co_return Result<void>();
  }
  Result<void> reopen() override {
    seen_.state = IndexState::online;
    return {};
  }
  void set_enabled(bool on) override { seen_.is_enabled = on; }

 private:
  Seen& seen_;
};

class IndexHolderTest : public ::testing::Test {
 protected:
  template <class Body>
  void run(Body body) {
    const auto outcome = executor.run(body());
    EXPECT_TRUE(outcome) << outcome.why;
  }

  SimExecutor executor{{.seed = 1}};
  std::unique_ptr<MemoryDevice> device = std::move(*MemoryDevice::create(1U << 20U));
  ReadOnlyNotifier notifier;
  testing::EntranceBench bench{executor, *device, notifier};
  VolumeOptions options;
  Seen seen;
  IndexHolder holder{executor, bench.life, bench.entrance, options, [](const LogLine&) {}};
};

TEST_F(IndexHolderTest, AVolumeWithoutAnIndexSaysSo) {
  run([this]() -> Task<void> {
    auto closed = co_await holder.close();
    EXPECT_EQ(closed.error().code(), Errc::not_found);
    co_await holder.save(IndexHolder::Saving::and_close);
  });
}

TEST_F(IndexHolderTest, ClosedOnceItIsClosedUntilItIsEnabled) {
  run([this]() -> Task<void> {
    holder.use(std::make_unique<FakeIndex>(seen));
    EXPECT_TRUE(seen.is_enabled);
    auto closed = co_await holder.close();
    EXPECT_TRUE(closed.ok());
    closed = co_await holder.close();
    EXPECT_EQ(closed.error().code(), Errc::busy);
    EXPECT_EQ(seen.saves, 1);
    auto enabled = co_await holder.enable();
    EXPECT_TRUE(enabled.ok());
    EXPECT_EQ(seen.state, IndexState::online);
  });
}

TEST_F(IndexHolderTest, InReadOnlyModeNoNewIndexIsMade) {
  run([this]() -> Task<void> {
    holder.use(std::make_unique<FakeIndex>(seen));
    notifier.enter(Error(Errc::io, "the disk has failed"));
    auto made = co_await holder.create();
    EXPECT_FALSE(made.ok());
  });
}

}  // namespace
}  // namespace uvdo
