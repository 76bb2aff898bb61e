// SPDX-License-Identifier: GPL-2.0-or-later
// A store that only this process can reach, as one in memory: nobody else could have it, there is
// nothing to lock or to let go of, nothing lies beneath, and its size stays.
#pragma once

#include "device/backing_store.h"

namespace uvdo {

class PrivateStore : public BackingStore {
 public:
  Result<std::uint64_t> look_up_size() final { return size(); }
  Task<Result<void>> extend(std::uint64_t size) final {
    if (this->size() >= size) co_return Result<void>();
    co_return too_small(this->size(), size);
  }
  [[nodiscard]] const std::vector<StorageRange>& storages() const final { return nothing_beneath_; }
  Result<void> release() final { return {}; }
  Result<void> reopen() final { return {}; }
  [[nodiscard]] Result<BackingState> look() const final { return BackingState(); }
  [[nodiscard]] Result<BackingState> last_look() final { return BackingState(); }
  [[nodiscard]] Result<std::uint64_t> holes(std::uint64_t /*offset*/,
                                            std::uint64_t /*length*/) const final {
    return 0;
  }
  [[nodiscard]] std::uint64_t next_data(std::uint64_t offset, std::uint64_t limit) override {
    return offset < limit ? offset : limit;
  }
  [[nodiscard]] DeviceActivity activity() const final { return {}; }
  /// Its requests fail where a test wants them to, which knows that.
  void on_failure(std::function<void(const Failure&)> /*f*/) final {}
  void share_reads(WorkBatches* /*batches*/) override {}

 private:
  std::vector<StorageRange> nothing_beneath_;
};

}  // namespace uvdo
