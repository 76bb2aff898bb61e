// SPDX-License-Identifier: GPL-2.0-or-later
// Encoding and decoding of recovery journal blocks.
#include "format/recovery_journal_block.h"

#include <algorithm>
#include <cstring>

#include "format/block_map_page.h"
#include "format/journal_limits.h"

namespace uvdo {
namespace {

// Offsets in sector 0; the header is packed, without alignment.
constexpr std::size_t kBlockMapHead = 0;
constexpr std::size_t kSlabJournalHead = 8;
constexpr std::size_t kSequence = 16;
constexpr std::size_t kNonce = 24;
constexpr std::size_t kType = 32;
constexpr std::size_t kEntryCount = 33;
constexpr std::size_t kLogicalBlocksUsed = 35;
constexpr std::size_t kBlockMapBlocks = 43;
constexpr std::size_t kCheckByte = 51;
constexpr std::size_t kRecoveryCount = 52;
static_assert(kRecoveryCount + 1 == kJournalHeaderSize);

// Offsets in sectors 1 .. 7.
constexpr std::size_t kSectorCheckByte = 0;
constexpr std::size_t kSectorRecoveryCount = 1;
constexpr std::size_t kSectorEntryCount = 2;

/// Operation, slot and page: the first six bytes of an entry of either form.
struct Place {
  std::uint8_t operation = 0;
  std::uint16_t slot = 0;
  Pbn page_pbn;
};

/// 2 bits, 10 bits and 36, of which the highest 4 come first.
Place decode_place(const std::byte* p) {
  const std::uint64_t word = load_le16(p);
  return {static_cast<std::uint8_t>(word & 3U), static_cast<std::uint16_t>(word >> 2U & 0x3FFU),
          Pbn{(word >> 12U) << 32U | load_le32(p + 2)}};
}

bool is_valid_place(Pbn page_pbn, std::uint16_t slot, std::uint64_t physical_blocks) {
  return page_pbn.value() < physical_blocks && slot < kEntriesPerPage;
}

/// A page of the map is a block of its own, and never that of zeros.
bool is_page_mapping(BlockMapping mapping) {
  return mapping.state == kStateUncompressed && !mapping.is_zero();
}

}  // namespace

void encode_journal_entry(const JournalEntry& entry, std::byte* out16) {
  const std::uint64_t page = entry.page_pbn.value();
  check(page >> 36U == 0 && entry.slot < kEntriesPerPage, "no such block map entry");
  const std::uint64_t operation = static_cast<std::uint64_t>(entry.operation) & 3U;
  const std::uint64_t place = operation | std::uint64_t{entry.slot} << 2U | (page >> 32U) << 12U |
                              (page & 0xFFFFFFFFU) << 16U;
  // Two bytes and four of the place, five of each mapping.
  const std::uint64_t now = packed(entry.new_mapping);
  store_le64(out16, place | now << 48U);
  store_le64(out16 + 8, now >> 16U | packed(entry.old_mapping) << 24U);
}

JournalEntry decode_journal_entry(const std::byte* in16) {
  const Place place = decode_place(in16);
  return {static_cast<JournalOperation>(place.operation), place.page_pbn, place.slot,
          decode_block_mapping(in16 + 6), decode_block_mapping(in16 + 11)};
}

OldJournalEntry decode_old_journal_entry(const std::byte* in11) {
  const Place place = decode_place(in11);
  return {static_cast<OldJournalOperation>(place.operation), place.page_pbn, place.slot,
          decode_block_mapping(in11 + 6)};
}

bool is_valid(const JournalEntry& entry, std::uint64_t physical_blocks, const SlabLayout& slabs) {
  if (!is_valid_place(entry.page_pbn, entry.slot, physical_blocks)) return false;
  if (!slabs.is_valid(entry.new_mapping) || !slabs.is_valid(entry.old_mapping)) return false;
  switch (entry.operation) {
    case JournalOperation::data_remapping: return true;
    case JournalOperation::block_map_remapping:
      return is_page_mapping(entry.new_mapping) && entry.old_mapping == kUnmapped;
  }
  return false;
}

bool is_valid(const OldJournalEntry& entry, std::uint64_t physical_blocks,
              const SlabLayout& slabs) {
  if (!is_valid_place(entry.page_pbn, entry.slot, physical_blocks)) return false;
  if (!slabs.is_valid(entry.mapping)) return false;
  return entry.operation != OldJournalOperation::block_map_increment ||
         is_page_mapping(entry.mapping);
}

void open_journal_block(MutableBytes block, const JournalBlockHeader& header) {
  check(block.size() == kBlockSize, "a recovery journal block is 4096 bytes");
  std::byte* p = block.data();
  std::memset(p, 0, block.size());
  store_le64(p + kBlockMapHead, header.block_map_head.value());
  store_le64(p + kSlabJournalHead, header.slab_journal_head.value());
  store_le64(p + kSequence, header.sequence.value());
  store_le64(p + kNonce, header.nonce);
  store_u8(p + kType, header.type);
  store_le16(p + kEntryCount, header.entry_count);
  store_le64(p + kLogicalBlocksUsed, header.logical_blocks_used);
  store_le64(p + kBlockMapBlocks, header.block_map_blocks);
  store_u8(p + kCheckByte, header.check_byte);
  store_u8(p + kRecoveryCount, header.recovery_count);
}

void append_journal_entry(MutableBytes block, unsigned index, const JournalEntry& entry,
                          std::uint8_t check_byte, std::uint8_t recovery_count) {
  check(block.size() == kBlockSize && index < kEntriesPerBlock, "the journal block is full");
  const unsigned place = index % kEntriesPerSector;
  std::byte* sector = block.data() + kSectorSize * (1 + index / kEntriesPerSector);
  store_u8(sector + kSectorCheckByte, check_byte);
  store_u8(sector + kSectorRecoveryCount, recovery_count);
  store_u8(sector + kSectorEntryCount, static_cast<std::uint8_t>(place + 1));
  encode_journal_entry(entry, sector + kJournalSectorHeaderSize + kJournalEntrySize * place);
}

/// Sector by sector: each has a head of its own.
void append_journal_run(MutableBytes block, unsigned index, const JournalEntry& first,
                        std::span<const BlockMapping> old, std::uint8_t check_byte,
                        std::uint8_t recovery_count) {
  check(block.size() == kBlockSize && old.size() <= kEntriesPerBlock - index,
        "the journal block is full");
  JournalEntry entry = first;
  while (!old.empty()) {
    const unsigned place = index % kEntriesPerSector;
    const std::size_t count = std::min<std::size_t>(old.size(), kEntriesPerSector - place);
    std::byte* sector = block.data() + kSectorSize * (1 + index / kEntriesPerSector);
    store_u8(sector + kSectorCheckByte, check_byte);
    store_u8(sector + kSectorRecoveryCount, recovery_count);
    store_u8(sector + kSectorEntryCount, static_cast<std::uint8_t>(place + count));
    std::byte* out = sector + kJournalSectorHeaderSize + kJournalEntrySize * place;
    for (const BlockMapping mapping : old.first(count)) {
      entry.old_mapping = mapping;
      encode_journal_entry(entry, out);
      ++entry.slot;
      out += kJournalEntrySize;
    }
    index += static_cast<unsigned>(count);
    old = old.subspan(count);
  }
}

void set_journal_header_heads_and_count(MutableBytes block, JournalSequence block_map_head,
                                        JournalSequence slab_journal_head,
                                        std::uint16_t entry_count) {
  check(block.size() == kBlockSize && entry_count <= kEntriesPerBlock, "journal entry count");
  store_le64(block.data() + kBlockMapHead, block_map_head.value());
  store_le64(block.data() + kSlabJournalHead, slab_journal_head.value());
  store_le16(block.data() + kEntryCount, entry_count);
}

JournalBlockHeader decode_journal_header(ConstBytes block) {
  check(block.size() >= kJournalHeaderSize, "a journal header is 53 bytes");
  const std::byte* p = block.data();
  JournalBlockHeader header;
  header.block_map_head = JournalSequence{load_le64(p + kBlockMapHead)};
  header.slab_journal_head = JournalSequence{load_le64(p + kSlabJournalHead)};
  header.sequence = JournalSequence{load_le64(p + kSequence)};
  header.nonce = load_le64(p + kNonce);
  header.type = load_u8(p + kType);
  header.entry_count = load_le16(p + kEntryCount);
  header.logical_blocks_used = load_le64(p + kLogicalBlocksUsed);
  header.block_map_blocks = load_le64(p + kBlockMapBlocks);
  header.check_byte = load_u8(p + kCheckByte);
  header.recovery_count = load_u8(p + kRecoveryCount);
  return header;
}

/// volume.md, 7. The old form counts as well; a recovery refuses it then.
bool counts(const JournalBlockHeader& header, std::uint64_t nonce, std::uint8_t recovery_count,
            std::uint64_t journal_size, std::uint64_t index) {
  if (header.nonce != nonce || header.recovery_count != recovery_count) return false;
  if (header.sequence.value() % journal_size != index) return false;
  // What comes behind the last number would wrap around.
  if (header.sequence.value() >= kLastSequence) return false;
  return (header.type == kJournalType && header.entry_count <= kEntriesPerBlock) ||
         (header.type == kJournalTypeOld && header.entry_count <= kOldEntriesPerBlock);
}

JournalSector journal_sector(ConstBytes block, const JournalBlockHeader& header, unsigned sector) {
  check(block.size() == kBlockSize && sector >= 1 && sector <= kEntrySectors, "journal sector");
  const std::byte* p = block.data() + kSectorSize * sector;
  const std::uint8_t entries = load_u8(p + kSectorEntryCount);
  unsigned most = kEntriesPerSector;
  // The last sector of a block of the old form is not full (volume.md, 7).
  if (header.type == kJournalTypeOld) {
    constexpr unsigned kOldEntriesInLastSector =
        kOldEntriesPerBlock - (kEntrySectors - 1) * kOldEntriesPerSector;
    most = sector == kEntrySectors ? kOldEntriesInLastSector : kOldEntriesPerSector;
  }
  return {load_u8(p + kSectorCheckByte) == header.check_byte &&
              load_u8(p + kSectorRecoveryCount) == header.recovery_count && entries <= most,
          entries};
}

UsableEntries usable_journal_entries(ConstBytes block, const JournalBlockHeader& header) {
  unsigned found = 0;
  for (unsigned sector = 1; sector <= kEntrySectors && found < header.entry_count; ++sector) {
    const JournalSector state = journal_sector(block, header, sector);
    if (!state.counts) break;
    // A sector that reached 31 entries is the only kind that another may follow.
    const unsigned entries =
        std::min<unsigned>({state.entry_count, header.entry_count - found, kEntriesPerSector});
    found += entries;
    if (entries < kEntriesPerSector) break;
  }
  return {static_cast<std::uint16_t>(found),
          found == kEntriesPerBlock && header.entry_count == kEntriesPerBlock};
}

JournalEntry journal_entry(ConstBytes block, unsigned index) {
  check(block.size() == kBlockSize && index < kEntriesPerBlock, "no such journal entry");
  return decode_journal_entry(block.data() + kSectorSize * (1 + index / kEntriesPerSector) +
                              kJournalSectorHeaderSize +
                              kJournalEntrySize * (index % kEntriesPerSector));
}

OldJournalEntry old_journal_entry(ConstBytes block, unsigned index) {
  check(block.size() == kBlockSize && index < kOldEntriesPerBlock, "no such journal entry");
  return decode_old_journal_entry(block.data() + kSectorSize * (1 + index / kOldEntriesPerSector) +
                                  kJournalSectorHeaderSize +
                                  kOldJournalEntrySize * (index % kOldEntriesPerSector));
}

}  // namespace uvdo
