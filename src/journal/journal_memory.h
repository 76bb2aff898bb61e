// SPDX-License-Identifier: GPL-2.0-or-later
// The memory of a recovery journal: its blocks that are not written yet, and beside them what
// another process needs to finish them if this one dies: which of the buffers holds which block,
// how many entries of it are whole, and where the journal on disk begins and ends.
//
//   word 0, 1     the durable heads, of the block map and of slab journals
//   word 2        the head that the blocks on disk tell
//   word 3        the last entry that is on disk (a packed JournalPoint)
//   word 4 + i    buffer i: the block's number << 16 | its entries; 0: none
//   byte 8192     the buffers, 4096 bytes each
//
// It is of one machine and one life of it, and so in the machine's byte order.
#pragma once

#include <optional>

#include "base/aligned_memory.h"
#include "base/block_types.h"
#include "base/result.h"
#include "base/shared_words.h"
#include "format/journal_point.h"
#include "format/recovery_journal_block.h"

namespace uvdo {

class JournalMemory {
 public:
  // Memory for unwritten blocks; at this many, writers wait for the device.
  static constexpr std::size_t kMaxUnwrittenBlocks = 512;
  // One more each for the open block and its copy in the commit under way.
  static constexpr std::size_t kBuffers = kMaxUnwrittenBlocks + 2;
  static constexpr std::size_t kTableBytes = 2 * kBlockSize;
  static constexpr std::size_t kBytes = kTableBytes + kBuffers * kBlockSize;

  /// `shared`: kBytes at a 4096-byte boundary that outlive this. Empty: it takes memory of its own.
  explicit JournalMemory(MutableBytes shared = {})
      : own_(shared.empty() ? AlignedMemory::unset(kBytes) : AlignedMemory()),
        bytes_(shared.empty() ? own_.bytes() : shared),
        words_(bytes_.first(kTableBytes)) {
    check(bytes_.size() == kBytes, "the memory of a journal has another size");
    for (std::size_t i = 0; i < words_.size(); ++i) words_.set(i, 0);
  }
  JournalMemory(const JournalMemory&) = delete;
  JournalMemory& operator=(const JournalMemory&) = delete;

  [[nodiscard]] std::byte* block(std::size_t buffer) const {
    return bytes_.data() + kTableBytes + buffer * kBlockSize;
  }
  /// Buffer `buffer` holds block `sequence` now, and so many whole entries of it.
  void set_entries(std::size_t buffer, JournalSequence sequence, unsigned entries) {
    words_.set(kFirstBuffer + buffer, sequence.value() << 16U | entries);
  }
  /// It holds none that anybody needs.
  void forget(std::size_t buffer) { words_.set(kFirstBuffer + buffer, 0); }
  void set_heads(JournalSequence block_map, JournalSequence slab_journal, JournalSequence on_disk) {
    words_.set(0, block_map.value());
    words_.set(1, slab_journal.value());
    words_.set(2, on_disk.value());
  }
  void set_written(JournalPoint point) { words_.set(3, point.packed()); }

 private:
  friend struct KeptJournal;
  static constexpr std::size_t kFirstBuffer = 4;
  static_assert((kFirstBuffer + kBuffers) * sizeof(std::uint64_t) <= kTableBytes);

  AlignedMemory own_;
  MutableBytes bytes_;
  SharedWords words_;
};

/// A block that a process which died had not written, or not to its end.
struct KeptJournalBlock {
  JournalSequence sequence;
  std::vector<JournalEntry> entries;
  std::uint64_t logical_blocks_used = 0;  ///< when it was opened
  std::uint64_t block_map_blocks = 0;     ///< likewise
};

/// What such a process has left of its journal.
struct KeptJournal {
  JournalSequence block_map_head;
  JournalSequence slab_journal_head;
  JournalSequence head_on_disk;
  JournalPoint written;                  ///< the last entry that is on disk
  std::vector<KeptJournalBlock> blocks;  ///< without gaps; all but the last are full

  /// Reads JournalMemory::kBytes. corrupt: no journal of ours leaves that.
  [[nodiscard]] static Result<KeptJournal> read(ConstBytes memory);
  [[nodiscard]] std::uint64_t entries_behind_written() const;
};

}  // namespace uvdo
