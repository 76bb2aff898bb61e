// SPDX-License-Identifier: GPL-2.0-or-later
// Blocks of memory that are used again and again, so that taking one allocates nothing once as many
// have been made as are in use at a time.
#pragma once

#include <cstring>
#include <utility>
#include <vector>

#include "base/aligned_memory.h"
#include "base/block_types.h"

namespace uvdo {

class SpareBlocks {
 public:
  /// Takes the memory of `count` blocks now.
  void reserve(std::size_t count) {
    spare_.reserve(count);
    while (spare_.size() < count) spare_.emplace_back(kBlockSize);
  }
  /// 4096 bytes of zeros.
  [[nodiscard]] AlignedMemory take() {
    if (spare_.empty()) return AlignedMemory(kBlockSize);
    AlignedMemory block = std::move(spare_.back());
    spare_.pop_back();
    std::memset(block.data(), 0, kBlockSize);
    return block;
  }
  void give(AlignedMemory block) { spare_.push_back(std::move(block)); }

 private:
  std::vector<AlignedMemory> spare_;
};

}  // namespace uvdo
