// SPDX-License-Identifier: GPL-2.0-or-later
// A device in memory, for tests and benchmarks: every request completes at once.
#pragma once

#include "device/device.h"

namespace uvdo {

class MemoryDevice final : public Device {
 public:
  /// A device of `size` zero bytes; memory is taken as it is written to.
  static Result<std::unique_ptr<MemoryDevice>> create(std::uint64_t size);
  ~MemoryDevice() override;

  void submit(Request& request) override;
  [[nodiscard]] std::uint64_t size() const override { return size_; }
  [[nodiscard]] const std::string& name() const override { return name_; }
  /// The device's content itself.
  [[nodiscard]] MutableBytes bytes() { return {base_, size_}; }

 private:
  MemoryDevice(std::byte* base, std::uint64_t size) : base_(base), size_(size) {}
  std::byte* base_;
  std::uint64_t size_;
  std::string name_ = "memory";
};

}  // namespace uvdo
