// SPDX-License-Identifier: GPL-2.0-or-later
// A store whose volume has a record of its owner: requests are made as long as the lease lasts, and
// then never again.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "async/uring_loop.h"
#include "device/backing_store.h"
#include "lease/lease_keeper.h"

namespace uvdo {

class LeasedStore final : public BackingStore {
 public:
  using Claim = std::function<Result<std::unique_ptr<LeaseKeeper>>(const RecordPlace&)>;

  /// `claim` is how the lease is had again after reopen(). Its calls that wait for the storage are
  /// made beside `loop`.
  LeasedStore(UringLoop& loop, std::unique_ptr<BackingStore> inner,
              std::unique_ptr<LeaseKeeper> keeper, RecordPlace place, Claim claim);
  ~LeasedStore() override;

  void submit(Request& request) override;
  [[nodiscard]] const std::string& name() const override { return inner_->name(); }
  [[nodiscard]] std::uint64_t size() const override { return inner_->size(); }
  Result<std::uint64_t> look_up_size() override { return inner_->look_up_size(); }
  Task<Result<void>> extend(std::uint64_t size) override { return inner_->extend(size); }
  /// Moves the record. no_space: there is no unused block.
  Task<Result<void>> will_leave_unused(std::optional<std::uint64_t> unused) override;
  Result<void> make_anew(std::uint64_t size) override { return inner_->make_anew(size); }
  [[nodiscard]] const std::vector<StorageRange>& storages() const override {
    return inner_->storages();
  }
  /// The lease with the rest.
  Result<void> release() override;
  Result<void> reopen() override;
  [[nodiscard]] Result<BackingState> look() const override;
  [[nodiscard]] Result<BackingState> last_look() override;
  [[nodiscard]] Result<std::uint64_t> holes(std::uint64_t offset,
                                            std::uint64_t length) const override {
    return inner_->holes(offset, length);
  }
  Result<void> take_room(std::uint64_t size) override { return inner_->take_room(size); }
  [[nodiscard]] std::uint64_t next_data(std::uint64_t offset, std::uint64_t limit) override {
    return inner_->next_data(offset, limit);
  }
  [[nodiscard]] DeviceActivity activity() const override { return inner_->activity(); }
  void on_failure(std::function<void(const Failure&)> f) override {
    inner_->on_failure(std::move(f));
  }
  void share_reads(WorkBatches* batches) override { inner_->share_reads(batches); }

 private:
  enum class Hold : std::uint8_t {
    ours,
    lost,  ///< for ever
  };
  [[nodiscard]] bool is_lost();
  [[nodiscard]] Error loss() const;

  UringLoop& loop_;
  std::unique_ptr<BackingStore> inner_;
  std::unique_ptr<LeaseKeeper> keeper_;
  RecordPlace place_;
  Claim claim_;
  Hold hold_ = Hold::ours;
};

}  // namespace uvdo
