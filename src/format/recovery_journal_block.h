// SPDX-License-Identifier: GPL-2.0-or-later
// A block of the recovery journal: one sector of header, seven of entries (volume.md, 7). A
// block is built in place, entry by entry, and written as often as it is committed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/block_types.h"
#include "base/bytes.h"
#include "format/block_mapping.h"
#include "format/slab_layout.h"

namespace uvdo {

// volume.md, 7: a header in sector 0, entries in sectors 1 to 7.
inline constexpr unsigned kEntriesPerSector = 31;
inline constexpr unsigned kEntrySectors = 7;
inline constexpr unsigned kEntriesPerBlock = 217;
inline constexpr std::size_t kJournalHeaderSize = 53;
inline constexpr std::size_t kJournalSectorHeaderSize = 3;
inline constexpr std::size_t kJournalEntrySize = 16;
static_assert(kEntriesPerSector * kEntrySectors == kEntriesPerBlock);
static_assert(kJournalSectorHeaderSize + kEntriesPerSector * kJournalEntrySize <= kSectorSize);

/// The old form, which only a rebuild reads.
inline constexpr unsigned kOldEntriesPerSector = 46;
inline constexpr unsigned kOldEntriesPerBlock = 311;
inline constexpr std::size_t kOldJournalEntrySize = 11;
static_assert(kJournalSectorHeaderSize + kOldEntriesPerSector * kOldJournalEntrySize <=
              kSectorSize);

/// The metadata type of a journal block; any other value does not count.
inline constexpr std::uint8_t kJournalTypeOld = 1;
inline constexpr std::uint8_t kJournalType = 3;

/// How many entries a block of this type has when it is full.
[[nodiscard]] constexpr unsigned entries_per_block(std::uint8_t type) {
  return type == kJournalTypeOld ? kOldEntriesPerBlock : kEntriesPerBlock;
}

enum class JournalOperation : std::uint8_t {
  data_remapping = 0,       ///< the page is a leaf
  block_map_remapping = 1,  ///< a tree page or leaf was allocated; the page is its parent
};

struct JournalEntry {
  JournalOperation operation = JournalOperation::data_remapping;  ///< 2 and 3 may come from disk
  Pbn page_pbn;
  std::uint16_t slot = 0;
  BlockMapping new_mapping;
  BlockMapping old_mapping;
  friend bool operator==(const JournalEntry&, const JournalEntry&) = default;
};

/// Entries of the old form: one half of what an entry says today.
enum class OldJournalOperation : std::uint8_t {
  data_decrement = 0,
  data_increment = 1,
  block_map_decrement = 2,
  block_map_increment = 3,
};
struct OldJournalEntry {
  OldJournalOperation operation = OldJournalOperation::data_decrement;
  Pbn page_pbn;
  std::uint16_t slot = 0;
  BlockMapping mapping;
  friend bool operator==(const OldJournalEntry&, const OldJournalEntry&) = default;
};

struct JournalBlockHeader {
  JournalSequence block_map_head;     ///< oldest whose entries may not be in pages on disk
  JournalSequence slab_journal_head;  ///< oldest whose entries may not be in slab journals
  JournalSequence sequence;
  std::uint64_t nonce = 0;
  std::uint8_t type = kJournalType;
  std::uint16_t entry_count = 0;
  std::uint64_t logical_blocks_used = 0;  ///< when the block was opened
  std::uint64_t block_map_blocks = 0;     ///< likewise
  std::uint8_t check_byte = 0;
  std::uint8_t recovery_count = 0;
  friend bool operator==(const JournalBlockHeader&, const JournalBlockHeader&) = default;
};

/// The byte that tells this trip round the ring from the one before.
[[nodiscard]] constexpr std::uint8_t check_byte_of(JournalSequence sequence,
                                                   std::uint64_t journal_size) {
  return static_cast<std::uint8_t>(((sequence.value() / journal_size) & 0x7FU) | 0x80U);
}

// ---- one entry

void encode_journal_entry(const JournalEntry& entry, std::byte* out16);
/// Any bytes give an entry: is_valid() judges it.
[[nodiscard]] JournalEntry decode_journal_entry(const std::byte* in16);
[[nodiscard]] OldJournalEntry decode_old_journal_entry(const std::byte* in11);

/// Whether recovery may apply an entry: operation, page, slot and both mappings make sense.
[[nodiscard]] bool is_valid(const JournalEntry& entry, std::uint64_t physical_blocks,
                            const SlabLayout& slabs);
[[nodiscard]] bool is_valid(const OldJournalEntry& entry, std::uint64_t physical_blocks,
                            const SlabLayout& slabs);

// ---- writing

/// Zeroes 4096 bytes and writes the header, with the entry count that it holds.
void open_journal_block(MutableBytes block, const JournalBlockHeader& header);
/// Writes entry `index` (in order, below 217) and its sector's header. The block's own entry count
/// is set by set_journal_header_heads_and_count before a commit.
void append_journal_entry(MutableBytes block, unsigned index, const JournalEntry& entry,
                          std::uint8_t check_byte, std::uint8_t recovery_count);
/// Writes an entry for each of `old`, from `index` on: `first` is the first of them, the others
/// are those of the slots behind it.
void append_journal_run(MutableBytes block, unsigned index, const JournalEntry& first,
                        std::span<const BlockMapping> old, std::uint8_t check_byte,
                        std::uint8_t recovery_count);
/// Brings the header up to date for a commit.
void set_journal_header_heads_and_count(MutableBytes block, JournalSequence block_map_head,
                                        JournalSequence slab_journal_head,
                                        std::uint16_t entry_count);

// ---- reading

[[nodiscard]] JournalBlockHeader decode_journal_header(ConstBytes block);

/// Whether the block at `index` of the ring counts: it is of this life of the volume, of a known
/// form, and in its place.
[[nodiscard]] bool counts(const JournalBlockHeader& header, std::uint64_t nonce,
                          std::uint8_t recovery_count, std::uint64_t journal_size,
                          std::uint64_t index);

/// Whether sector 1 .. 7 counts (its check byte, recovery count and entry count are right), and
/// how many entries it says it has.
struct JournalSector {
  bool counts = false;
  std::uint16_t entry_count = 0;
};
[[nodiscard]] JournalSector journal_sector(ConstBytes block, const JournalBlockHeader& header,
                                           unsigned sector);

/// Entries from the start of the block up to the first damage, for a recovery (behaviour.md,
/// 9.2); `whole`: the block is full and none is missing, so that the next block may be used.
struct UsableEntries {
  std::uint16_t count = 0;
  bool whole = false;
};
[[nodiscard]] UsableEntries usable_journal_entries(ConstBytes block,
                                                   const JournalBlockHeader& header);

/// Entry `index` of a block, by its place: index below 217 (type 3), or 311 (type 1).
[[nodiscard]] JournalEntry journal_entry(ConstBytes block, unsigned index);
[[nodiscard]] OldJournalEntry old_journal_entry(ConstBytes block, unsigned index);

/// Calls f(index) for every entry that a rebuild uses (behaviour.md, 10): damaged sectors are
/// skipped, not the rest of the block. Works for both forms.
template <class F>
void for_each_rebuild_entry(ConstBytes block, const JournalBlockHeader& header, F&& f) {
  const bool old = header.type == kJournalTypeOld;
  const unsigned per_sector = old ? kOldEntriesPerSector : kEntriesPerSector;
  unsigned left = header.entry_count;
  for (unsigned sector = 1; sector <= kEntrySectors && left > 0; ++sector) {
    const JournalSector state = journal_sector(block, header, sector);
    const unsigned room = left < per_sector ? left : per_sector;
    if (state.counts) {
      const unsigned n = state.entry_count < room ? state.entry_count : room;
      for (unsigned i = 0; i < n; ++i) f((sector - 1) * per_sector + i);
      left -= n;
    } else {
      left -= room;
    }
  }
}

}  // namespace uvdo
