// SPDX-License-Identifier: GPL-2.0-or-later
// A fixed number of 4 KiB blocks of memory, made once.
#pragma once

#include <cstddef>
#include <vector>

#include "base/aligned_memory.h"
#include "base/block_types.h"

namespace uvdo {

class BlockArena {
 public:
  explicit BlockArena(std::size_t blocks) : memory_(blocks * kBlockSize) {
    free_.reserve(blocks);
    for (std::size_t i = blocks; i > 0; --i) free_.push_back(memory_.block(i - 1).data());
  }
  [[nodiscard]] std::size_t size_in_bytes() const { return memory_.size(); }
  /// Blocks that are left.
  [[nodiscard]] std::size_t available() const { return free_.size(); }
  /// One of them; there must be one.
  [[nodiscard]] std::byte* take() {
    check(!free_.empty(), "a block is taken of an arena that has none left");
    std::byte* const block = free_.back();
    free_.pop_back();
    return block;
  }
  void give_back(std::byte* block) { free_.push_back(block); }

 private:
  AlignedMemory memory_;
  std::vector<std::byte*> free_;
};

}  // namespace uvdo
