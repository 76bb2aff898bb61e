// SPDX-License-Identifier: GPL-2.0-or-later
// Memory of slab journal blocks that are being filled, or wait to be written. It is taken when the
// volume is opened, and touched as far as it is used.
#pragma once

#include <cstring>
#include <vector>

#include "base/block_types.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/page_memory.h"
#include "format/journal_point.h"
#include "format/slab_journal_block.h"

namespace uvdo {

/// Changes that may be made behind one look at whether there is room, each perhaps in a block of
/// its own: a remapping makes two.
inline constexpr std::size_t kChangesAtOnce = 2;

/// A slab journal block that is not yet named by a written summary.
struct SlabJournalBlock {
  MutableBytes bytes;
  SlabJournalHeader header;
  JournalPoint last_entry;     ///< of the recovery journal; must be stable before this is written
  JournalSequence first_lock;  ///< recovery journal block held until the summary names this one
  SlabJournalBlock* next = nullptr;  ///< of the same slab, or free
};

/// A list of spare blocks. They are shared by all slabs and never moved; what is given back is
/// taken first again, while the processor's caches have it.
class SlabJournalMemory {
 public:
  SlabJournalMemory() = default;
  SlabJournalMemory(const SlabJournalMemory&) = delete;
  SlabJournalMemory& operator=(const SlabJournalMemory&) = delete;

  /// Takes memory for `count` more blocks.
  void add(std::size_t count) {
    // A piece of memory for each call; blocks of earlier pieces stay where they are.
    const PageMemory& bytes = bytes_.emplace_back(count * kBlockSize);
    bytes.allow_huge_pages();
    std::vector<SlabJournalBlock>& blocks = blocks_.emplace_back(count);
    for (std::size_t i = count; i > 0; --i) {
      blocks[i - 1].bytes = bytes.bytes().subspan((i - 1) * kBlockSize, kBlockSize);
      give(blocks[i - 1]);
    }
  }
  [[nodiscard]] std::size_t spare() const { return spare_count_; }
  /// Whether what is spare is not enough for kChangesAtOnce.
  [[nodiscard]] bool is_short() const { return spare_count_ < kChangesAtOnce; }
  /// A block of zeros; the caller has seen to it that one is spare.
  [[nodiscard]] SlabJournalBlock& take() {
    check(spare_ != nullptr, "no memory is left for a slab journal block");
    SlabJournalBlock& block = *spare_;
    spare_ = block.next;
    --spare_count_;
    // What was in it before must not get to the disk behind this block's entries.
    std::memset(block.bytes.data(), 0, kBlockSize);
    block = {block.bytes, {}, {}, {}, nullptr};
    return block;
  }
  void give(SlabJournalBlock& block) {
    block.next = spare_;
    spare_ = &block;
    ++spare_count_;
  }

 private:
  std::vector<PageMemory> bytes_;
  std::vector<std::vector<SlabJournalBlock>> blocks_;
  SlabJournalBlock* spare_ = nullptr;
  std::size_t spare_count_ = 0;
};

}  // namespace uvdo
