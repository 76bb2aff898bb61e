// SPDX-License-Identifier: GPL-2.0-or-later
// Requests to a store for who waits for each: the offline tools, tests, fuzzers.
#pragma once

#include <memory>

#include "device/backing_store.h"

namespace uvdo {

// Of a store whose requests complete inside submit().

/// Makes a request, and waits for it.
Result<void> carry_out_at_once(BackingStore& store, Device::Request request);
/// Fills `out` from byte `offset` on. out_of_range: the store ends before; io: it cannot be read.
Result<void> read_at_once(BackingStore& store, std::uint64_t offset, MutableBytes out);

/// Of one thread, which each request keeps until it is answered.
class BlockingDevice {
 public:
  /// A store whose requests complete inside submit(): open_blocking_device(), or one in memory.
  explicit BlockingDevice(std::unique_ptr<BackingStore> store) : store_(std::move(store)) {}

  /// Fills `out`, of any size and alignment, from byte `offset` on. out_of_range: it ends before;
  /// io: it cannot be read.
  Result<void> read(std::uint64_t offset, MutableBytes out) const;
  /// As Device has them; the data of any size and alignment.
  Result<void> write(std::uint64_t offset, ConstBytes data);
  Result<void> write_zeroes(std::uint64_t offset, std::uint64_t length);
  Result<void> flush();
  [[nodiscard]] BackingStore& store() const { return *store_; }

 private:
  std::unique_ptr<BackingStore> store_;
};

}  // namespace uvdo
