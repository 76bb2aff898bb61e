// SPDX-License-Identifier: GPL-2.0-or-later
// What stores behind a network have in common: a URI for a name, the lock of this machine, an
// account of their requests. Nothing is known of what lies beneath, nor of holes.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "device/backing_file.h"
#include "device/backing_store.h"
#include "device/store_lock.h"

namespace uvdo {

class NetworkStore : public BackingStore {
 public:
  [[nodiscard]] const std::string& name() const final { return name_; }
  [[nodiscard]] std::uint64_t size() const final { return size_; }
  [[nodiscard]] const std::vector<StorageRange>& storages() const final { return lock_.storages(); }
  [[nodiscard]] std::string note() const final { return lock_.note(); }
  Result<void> leave_note(const std::string& text) final { return lock_.leave_note(text); }
  [[nodiscard]] Result<BackingState> last_look() override { return look(); }
  [[nodiscard]] Result<std::uint64_t> holes(std::uint64_t /*offset*/,
                                            std::uint64_t /*length*/) const final {
    return std::uint64_t{0};
  }
  [[nodiscard]] std::uint64_t next_data(std::uint64_t offset, std::uint64_t limit) final {
    return std::min(offset, limit);
  }
  [[nodiscard]] DeviceActivity activity() const final { return meter_.activity(); }
  void on_failure(std::function<void(const Failure&)> f) final { on_failure_ = std::move(f); }
  void share_reads(WorkBatches* /*batches*/) final {}

 protected:
  NetworkStore(std::string name, OpenMode mode) : name_(std::move(name)), mode_(mode) {}

  /// Fills `out` from the beginning of the store, as far as it goes; how many bytes that are. Of a
  /// store whose requests complete inside submit().
  Result<std::size_t> read_beginning(MutableBytes out);

  std::string name_;
  OpenMode mode_;
  StoreLock lock_;
  std::uint64_t size_ = 0;
  DeviceMeter meter_;
  std::function<void(const Failure&)> on_failure_;
};

}  // namespace uvdo
