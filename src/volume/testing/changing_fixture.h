// SPDX-License-Identifier: GPL-2.0-or-later
// A volume in use as far as changes of it go (suspension, growth), which have to do with most of
// its parts: formatted on its device, and marked in use.
#pragma once

#include "volume/suspension.h"
#include "volume/testing/writing_fixture.h"

namespace uvdo::testing {

/// The store of a volume, which knows whether it was let go of.
class LentStore final : public BackingStore {
 public:
  explicit LentStore(SimDevice& device) : size_now(device.size()), device_(device) {}

  void submit(Request& request) override {
    check(is_open, "a request reached a store that was let go of");
    device_.submit(request);
  }
  [[nodiscard]] const std::string& name() const override { return device_.name(); }
  [[nodiscard]] std::uint64_t size() const override { return size_now; }
  Result<std::uint64_t> look_up_size() override { return size_now; }
  Task<Result<void>> extend(std::uint64_t size) override {
    if (size > size_now) co_return too_small(size_now, size);
    co_return Result<void>();
  }
  Result<void> release() override {
    if (is_gone) return Error(Errc::not_found, "it would be gone");
    is_open = false;
    return {};
  }
  Result<void> reopen() override {
    if (is_gone) return Error(Errc::busy, "somebody else has it");
    is_open = true;
    return {};
  }
  [[nodiscard]] const std::vector<StorageRange>& storages() const override { return nothing_; }
  [[nodiscard]] Result<BackingState> look() const override { return BackingState(); }
  [[nodiscard]] Result<BackingState> last_look() override { return BackingState(); }
  [[nodiscard]] Result<std::uint64_t> holes(std::uint64_t, std::uint64_t) const override {
    return 0;
  }
  [[nodiscard]] std::uint64_t next_data(std::uint64_t offset, std::uint64_t) override {
    return offset;
  }
  [[nodiscard]] DeviceActivity activity() const override { return {}; }
  void on_failure(std::function<void(const Failure&)>) override {}
  void share_reads(WorkBatches*) override {}

  bool is_open = true;
  /// It can neither be let go of nor opened again.
  bool is_gone = false;
  std::uint64_t size_now;

 private:
  SimDevice& device_;
  std::vector<StorageRange> nothing_;
};

class ChangingFixture : public WritingFixture {
 protected:
  template <class Body>
  void run(Body body) {
    WritingFixture::run([&]() -> Task<void> {
      co_await begin();
      co_await body();
      co_await record.wait();
    });
  }
  /// What of the format and the first start of a volume is not zeros.
  Task<void> begin() {
    const AlignedMemory block(kBlockSize);
    encode_volume_geometry(layout->geometry, block.bytes());
    EXPECT_TRUE((co_await device.write(0, block.bytes())).ok());
    auto marked = co_await super_blocks.change([](SuperBlock& next) -> Result<void> {
      next.state = VolumeState::dirty;
      next.depot.zone_count = 1;
      return {};
    });
    EXPECT_TRUE(marked.ok());
  }
  /// The super block that a power cut now would leave.
  [[nodiscard]] SuperBlock on_disk() const {
    AlignedMemory block(kBlockSize);
    device.durable().read(byte_of(layout->geometry.data_start), block.bytes());
    auto found = decode_super_block(block.bytes(), layout->geometry);
    EXPECT_TRUE(found.ok());
    return *found;
  }
  /// Writes noise `number` as a client does.
  Task<Result<void>> write(Lbn lbn, std::uint64_t number) {
    Buffer data = co_await buffers.clients.acquire(kBlockSize);
    fill_with_noise(data.bytes(), number);
    co_return co_await writes.write(lbn.value() * kBlockSize, std::move(data), Durability::cached);
  }
  Task<bool> reads_as(Lbn lbn, std::uint64_t number) {
    AlignedMemory found(kBlockSize);
    EXPECT_TRUE((co_await reads.read(lbn.value() * kBlockSize, found.bytes())).ok());
    co_return are_equal(found.bytes(), noise(number).bytes());
  }
  static Task<void> keep(Task<Result<void>> work, std::optional<Result<void>>& result) {
    result.emplace(co_await std::move(work));
  }
  static void expect_error(const Result<void>& result, Errc code, const char* text) {
    ASSERT_FALSE(result.ok()) << text;
    EXPECT_EQ(result.error().code(), code) << result.error().message();
    EXPECT_NE(result.error().message().find(text), std::string::npos) << result.error().message();
  }

  LentStore lent{device};
  Saver saver{notifier, *ledger, index_holder, super_blocks};
  ReadOnlyRecord record{executor, device, gates.flushes, *ledger, super_blocks, log_to()};
  Administration administration{executor};
  Suspension suspension{layout->geometry, lent,      gates,          life,           notifier,
                        entrance,         admission, administration, *ledger,        super_blocks,
                        writes,           saver,     record,         options.faults, log_to()};
};

}  // namespace uvdo::testing
