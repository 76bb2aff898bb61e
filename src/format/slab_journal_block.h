// SPDX-License-Identifier: GPL-2.0-or-later
// A block of a slab journal: the changes of reference counts of one slab, three bytes each
// (volume.md, 5.2). Built in place, entry by entry.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/block_types.h"
#include "base/bytes.h"
#include "format/journal_point.h"

namespace uvdo {

inline constexpr unsigned kSlabJournalEntries = 1353;      ///< capacity without block map bits
inline constexpr unsigned kSlabJournalFullEntries = 1299;  ///< with them
inline constexpr std::size_t kSlabJournalHeaderSize = 36;
inline constexpr std::size_t kSlabJournalEntrySize = 3;
inline constexpr std::size_t kSlabJournalTypesOffset = 3933;
inline constexpr std::size_t kSlabJournalTypesSize = 163;
inline constexpr std::uint8_t kSlabJournalType = 2;
/// An entry has 23 bits for it.
inline constexpr Sbn kMaxSbn = (1U << 23U) - 1;
static_assert(kSlabJournalHeaderSize + kSlabJournalEntries * kSlabJournalEntrySize <= kBlockSize);
static_assert(kSlabJournalHeaderSize + kSlabJournalFullEntries * kSlabJournalEntrySize ==
              kSlabJournalTypesOffset);
static_assert(kSlabJournalTypesOffset + kSlabJournalTypesSize == kBlockSize);
static_assert(kSlabJournalTypesSize * 8 >= kSlabJournalFullEntries);

enum class ReferenceOperation : std::uint8_t {
  data_decrement = 0,
  data_increment = 1,
  block_map_increment = 2,  ///< sets the count to 254
  block_map_decrement = 3,  ///< does not exist; only a damaged block decodes to it
};

struct SlabJournalEntry {
  Sbn sbn = 0;
  ReferenceOperation operation = ReferenceOperation::data_decrement;
  friend constexpr bool operator==(const SlabJournalEntry&, const SlabJournalEntry&) = default;
};

struct SlabJournalHeader {
  SlabSequence head;            ///< oldest block still needed when this was written
  SlabSequence sequence;        ///< starts at 1
  JournalPoint recovery_point;  ///< expanded point of the last entry
  std::uint64_t nonce = 0;
  std::uint8_t type = kSlabJournalType;
  bool has_block_map_increments = false;
  std::uint16_t entry_count = 0;
  friend bool operator==(const SlabJournalHeader&, const SlabJournalHeader&) = default;
};

/// Entries for which a block has room.
[[nodiscard]] constexpr unsigned slab_journal_capacity(bool has_block_map_increments) {
  return has_block_map_increments ? kSlabJournalFullEntries : kSlabJournalEntries;
}

// ---- writing

/// Zeroes 4096 bytes and writes the header.
void open_slab_journal_block(MutableBytes block, const SlabJournalHeader& header);
/// Writes the header over the first 36 bytes: before a commit, when only the head has changed.
void encode_slab_journal_header(const SlabJournalHeader& header, MutableBytes block);
/// Whether one more entry of this kind fits. A block map increment into a block of 1299 or more
/// entries needs a new block.
[[nodiscard]] constexpr bool has_room(const SlabJournalHeader& header,
                                      ReferenceOperation operation) {
  return header.entry_count <
         slab_journal_capacity(header.has_block_map_increments ||
                               operation == ReferenceOperation::block_map_increment);
}
/// Adds an entry to the block and to `header` (count, recovery point, flag). Needs has_room().
/// The header's bytes are not written: encode_slab_journal_header() does that before a commit.
void append_slab_journal_entry(MutableBytes block, SlabJournalHeader& header,
                               SlabJournalEntry entry, JournalPoint recovery_point);

/// Adds data decrements of `blocks`; `recovery_point` is that of the last. Needs as much room.
void append_slab_journal_decrements(MutableBytes block, SlabJournalHeader& header,
                                    std::span<const Sbn> blocks, JournalPoint recovery_point);

// ---- reading

/// Any bytes give a header: counts() judges it.
[[nodiscard]] SlabJournalHeader decode_slab_journal_header(ConstBytes block);
/// Whether it is a slab journal block of this volume, with as many entries as fit.
[[nodiscard]] bool counts(const SlabJournalHeader& header, std::uint64_t nonce);
/// Entry `index`, below header.entry_count of a header that counts().
[[nodiscard]] SlabJournalEntry slab_journal_entry(ConstBytes block, const SlabJournalHeader& header,
                                                  unsigned index);

}  // namespace uvdo
