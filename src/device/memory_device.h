// SPDX-License-Identifier: GPL-2.0-or-later
// A device in memory, for tests and benchmarks: every request completes at once, but for
// reads that are shared.
#pragma once

#include "async/work_batches.h"
#include "base/object_pool.h"
#include "device/private_store.h"

namespace uvdo {

class MemoryDevice final : public PrivateStore {
 public:
  /// A device of `size` zero bytes; memory is taken as it is written to.
  static Result<std::unique_ptr<MemoryDevice>> create(std::uint64_t size);
  ~MemoryDevice() override;

  void submit(Request& request) override;
  [[nodiscard]] std::uint64_t size() const override { return size_; }
  void share_reads(WorkBatches* batches) override;
  [[nodiscard]] const std::string& name() const override { return name_; }
  /// The device's content itself.
  [[nodiscard]] MutableBytes bytes() { return {base_, size_}; }

 private:
  MemoryDevice(std::byte* base, std::uint64_t size) : base_(base), size_(size) {}
  struct SharedRead : WorkBatches::Piece {
    MemoryDevice* device = nullptr;
    Request* request = nullptr;
  };
  void carry_out(Request& request) const;
  void share(Request& request);

  std::byte* base_;
  std::uint64_t size_;
  WorkBatches* batches_ = nullptr;
  std::unique_ptr<ObjectPool<SharedRead>> shared_reads_;
  std::string name_ = "memory";
};

}  // namespace uvdo
