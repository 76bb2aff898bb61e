// SPDX-License-Identifier: GPL-2.0-or-later
// Page-aligned memory, as direct I/O needs it.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <new>

#include "base/block_types.h"
#include "base/bytes.h"

namespace uvdo {

/// An owned run of zeroed bytes at a 4096-byte boundary.
class AlignedMemory {
 public:
  AlignedMemory() = default;
  explicit AlignedMemory(std::size_t size) : AlignedMemory(unset(size)) {
    std::memset(bytes_.get(), 0, size);
  }
  /// `size` bytes of anything: for much memory that is written before it is read.
  static AlignedMemory unset(std::size_t size) {
    AlignedMemory memory;
    memory.bytes_.reset(
        static_cast<std::byte*>(::operator new (size, std::align_val_t{kBlockSize})));
    memory.size_ = size;
    return memory;
  }
  [[nodiscard]] std::byte* data() const { return bytes_.get(); }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] MutableBytes bytes() const { return {bytes_.get(), size_}; }
  /// The 4096 bytes of block `index`.
  [[nodiscard]] MutableBytes block(std::size_t index) const {
    check((index + 1) * kBlockSize <= size_, "block beyond its memory");
    return {bytes_.get() + index * kBlockSize, kBlockSize};
  }

 private:
  struct Free {
    void operator()(std::byte* p) const { ::operator delete (p, std::align_val_t{kBlockSize}); }
  };
  std::unique_ptr<std::byte, Free> bytes_;
  std::size_t size_ = 0;
};

}  // namespace uvdo
