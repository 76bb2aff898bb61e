// SPDX-License-Identifier: GPL-2.0-or-later
// What the parts of a volume count, each in the place where it is shown (behaviour.md, 14): a part
// fills its own, and the volume's statistics are made of them.
#pragma once

#include <cstdint>

#include "base/saturating.h"

namespace uvdo {

/// Requests of one kind by operation. A request may count under several (a write with FUA).
struct BioCounts {
  std::uint64_t read = 0;
  std::uint64_t write = 0;
  std::uint64_t empty_flush = 0;
  std::uint64_t discard = 0;
  std::uint64_t flush = 0;
  std::uint64_t fua = 0;
  friend bool operator==(const BioCounts&, const BioCounts&) = default;
};
/// Those of `a` that are not among `b`.
[[nodiscard]] constexpr BioCounts difference(const BioCounts& a, const BioCounts& b) {
  return {difference(a.read, b.read),
          difference(a.write, b.write),
          difference(a.empty_flush, b.empty_flush),
          difference(a.discard, b.discard),
          difference(a.flush, b.flush),
          difference(a.fua, b.fua)};
}

/// What the packer counts.
struct PackerStatistics {
  std::uint64_t compressed_fragments_written = 0;
  std::uint64_t compressed_blocks_written = 0;
  std::uint64_t compressed_fragments_in_packer = 0;  ///< now
};

/// What the depot counts: this and the next three.
struct AllocatorStatistics {
  std::uint64_t slab_count = 0;      ///< now
  std::uint64_t slabs_opened = 0;    ///< that were ever allocated from
  std::uint64_t slabs_reopened = 0;  ///< allocated from again
};

/// How far things have come on their way to the disk: started >= written >= committed.
struct CommitStatistics {
  std::uint64_t started = 0;
  std::uint64_t written = 0;    ///< handed to the device
  std::uint64_t committed = 0;  ///< stable

  [[nodiscard]] std::uint64_t batching() const { return difference(started, written); }
  [[nodiscard]] std::uint64_t writing() const { return difference(written, committed); }
};

/// What the recovery journal counts.
struct RecoveryJournalStatistics {
  std::uint64_t disk_full = 0;  ///< times that writers waited for room
  std::uint64_t slab_journal_commits_requested = 0;
  CommitStatistics entries;
  CommitStatistics blocks;
  std::uint64_t flushes = 0;  ///< of the device, before its blocks
};

/// What the depot counts of slab journals. uvdo has no event of the kind of disk_full_count and
/// tail_busy_count: they stay 0.
struct SlabJournalStatistics {
  std::uint64_t disk_full_count = 0;
  std::uint64_t flush_count = 0;
  /// Times that somebody waited for room in a slab journal, or for memory for a block of one.
  std::uint64_t blocked_count = 0;
  std::uint64_t blocks_written = 0;
  std::uint64_t tail_busy_count = 0;
};

/// Of the kernel's groups of one: blocks that were written.
struct SlabSummaryStatistics {
  std::uint64_t blocks_written = 0;
};

struct ReferenceCountStatistics {
  std::uint64_t blocks_written = 0;
};

/// The cache of block map leaves. Pages that have failed, and those on their way in or out, are not
/// counted by uvdo, nor are `reclaimed` and `read_outgoing`: they stay 0.
struct BlockMapStatistics {
  std::uint64_t dirty_pages = 0;  ///< now; so are the next five
  std::uint64_t clean_pages = 0;
  std::uint64_t free_pages = 0;
  std::uint64_t failed_pages = 0;
  std::uint64_t incoming_pages = 0;
  std::uint64_t outgoing_pages = 0;
  /// Times that a look-up waited for a frame, as no page could be given up.
  std::uint64_t cache_pressure = 0;
  std::uint64_t read_count = 0;
  /// Pages that were asked of the device (read_count) and handed to it (write_count); a new page is
  /// handed to it twice.
  std::uint64_t write_count = 0;
  std::uint64_t failed_reads = 0;
  std::uint64_t failed_writes = 0;
  std::uint64_t reclaimed = 0;
  std::uint64_t read_outgoing = 0;
  std::uint64_t found_in_cache = 0;
  /// Frames that were taken from a clean page.
  std::uint64_t discard_required = 0;
  /// Look-ups that waited for a page which another was reading already; fetch_required: that read
  /// one themselves; pages_loaded and pages_saved: pages read and written without error.
  std::uint64_t wait_for_page = 0;
  std::uint64_t fetch_required = 0;
  std::uint64_t pages_loaded = 0;
  std::uint64_t pages_saved = 0;
  std::uint64_t flush_count = 0;
};

/// What deduplication counts, in blocks.
struct HashLockStatistics {
  std::uint64_t dedupe_advice_valid = 0;
  std::uint64_t dedupe_advice_stale = 0;
  /// Blocks whose data were being written by another request at the same time.
  std::uint64_t concurrent_data_matches = 0;
  /// Blocks with the name of another that was being written, but other data.
  std::uint64_t concurrent_hash_collisions = 0;
  std::uint64_t curr_dedupe_queries = 0;  ///< now
};

/// Advice that names no data block; requests that were refused for want of room, and for read-only
/// mode.
struct ErrorStatistics {
  std::uint64_t invalid_advice_pbn_count = 0;
  std::uint64_t no_space_error_count = 0;
  std::uint64_t read_only_error_count = 0;
};

/// The kernel's index statistics (behaviour.md, 14), counted since the index was opened.
struct IndexStatistics {
  std::uint64_t entries_indexed = 0;
  std::uint64_t posts_found = 0;
  std::uint64_t posts_not_found = 0;
  std::uint64_t queries_found = 0;
  std::uint64_t queries_not_found = 0;
  std::uint64_t updates_found = 0;
  std::uint64_t updates_not_found = 0;
  std::uint64_t entries_discarded = 0;
};

}  // namespace uvdo
