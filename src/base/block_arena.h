// SPDX-License-Identifier: GPL-2.0-or-later
// A fixed number of 4 KiB blocks of memory, taken once, and touched as far as they are used.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <vector>

#include "base/block_types.h"
#include "base/bytes.h"
#include "base/check.h"

namespace uvdo {

class BlockArena {
 public:
  explicit BlockArena(std::size_t blocks)
      : blocks_(blocks), memory_(std::make_unique_for_overwrite<Block[]>(blocks)) {
    fill(blocks == 0 ? nullptr : memory_[0].bytes.data());
  }
  /// The same in memory of somebody else, at a 4096-byte boundary, that outlives this.
  explicit BlockArena(MutableBytes memory) : blocks_(memory.size() / kBlockSize) {
    fill(memory.data());
  }
  [[nodiscard]] std::size_t size_in_bytes() const { return blocks_ * kBlockSize; }
  /// Blocks that are left.
  [[nodiscard]] std::size_t available() const { return free_.size(); }
  /// One of them, at a 4096-byte boundary, with anything in it; there must be one.
  [[nodiscard]] std::byte* take() {
    check(!free_.empty(), "a block is taken of an arena that has none left");
    std::byte* const block = free_.back();
    free_.pop_back();
    return block;
  }
  void give_back(std::byte* block) { free_.push_back(block); }

 private:
  void fill(std::byte* first) {
    free_.reserve(blocks_);
    for (std::size_t i = blocks_; i > 0; --i) free_.push_back(first + (i - 1) * kBlockSize);
  }
  struct alignas(kBlockSize) Block {
    std::array<std::byte, kBlockSize> bytes;
  };
  std::size_t blocks_;
  std::unique_ptr<Block[]> memory_;  // NOLINT(*-c-arrays)
  std::vector<std::byte*> free_;
};

}  // namespace uvdo
