// SPDX-License-Identifier: GPL-2.0-or-later
// Encoding and decoding of slab journal blocks.
#include "format/slab_journal_block.h"

#include <cstring>

namespace uvdo {
namespace {

// Offsets in a block: volume.md, 5.2.
constexpr std::size_t kHead = 0;
constexpr std::size_t kSequence = 8;
constexpr std::size_t kRecoveryPoint = 16;
constexpr std::size_t kNonce = 24;
constexpr std::size_t kType = 32;
constexpr std::size_t kHasBlockMapIncrements = 33;
constexpr std::size_t kEntryCount = 34;
static_assert(kEntryCount + 2 == kSlabJournalHeaderSize);

constexpr std::uint32_t kIncrementBit = 1U << 23U;

}  // namespace

void open_slab_journal_block(MutableBytes block, const SlabJournalHeader& header) {
  check(block.size() == kBlockSize, "a slab journal block is 4096 bytes");
  std::memset(block.data(), 0, block.size());
  encode_slab_journal_header(header, block);
}

void encode_slab_journal_header(const SlabJournalHeader& header, MutableBytes block) {
  check(block.size() == kBlockSize, "a slab journal block is 4096 bytes");
  std::byte* p = block.data();
  store_le64(p + kHead, header.head.value());
  store_le64(p + kSequence, header.sequence.value());
  store_le64(p + kRecoveryPoint, header.recovery_point.packed());
  store_le64(p + kNonce, header.nonce);
  store_u8(p + kType, header.type);
  store_u8(p + kHasBlockMapIncrements, header.has_block_map_increments ? 1 : 0);
  store_le16(p + kEntryCount, header.entry_count);
}

void append_slab_journal_entry(MutableBytes block, SlabJournalHeader& header,
                               SlabJournalEntry entry, JournalPoint recovery_point) {
  check(block.size() == kBlockSize && has_room(header, entry.operation),
        "the slab journal block is full");
  check(entry.sbn <= kMaxSbn, "no such block in a slab");
  const bool is_map = entry.operation == ReferenceOperation::block_map_increment;
  check(is_map || entry.operation == ReferenceOperation::data_increment ||
            entry.operation == ReferenceOperation::data_decrement,
        "no such reference operation");
  // The first increment of the block map takes the end of the block for the bits that tell which
  // entries are such; has_room() has seen to it that no entry lies there.
  std::byte* types = block.data() + kSlabJournalTypesOffset;
  if (is_map && !header.has_block_map_increments) {
    std::memset(types, 0, kSlabJournalTypesSize);
    header.has_block_map_increments = true;
  }
  const bool increment = entry.operation != ReferenceOperation::data_decrement;
  store_le24(block.data() + kSlabJournalHeaderSize + kSlabJournalEntrySize * header.entry_count,
             entry.sbn | (increment ? kIncrementBit : 0));
  if (is_map) types[header.entry_count / 8] |= std::byte{1} << header.entry_count % 8;
  header.recovery_point = recovery_point;
  ++header.entry_count;
}

void append_slab_journal_decrements(MutableBytes block, SlabJournalHeader& header,
                                    std::span<const Sbn> blocks, JournalPoint recovery_point) {
  check(block.size() == kBlockSize && blocks.size() + header.entry_count <=
                                          slab_journal_capacity(header.has_block_map_increments),
        "the slab journal block is full");
  std::byte* out =
      block.data() + kSlabJournalHeaderSize + kSlabJournalEntrySize * header.entry_count;
  for (const Sbn sbn : blocks) {
    check(sbn <= kMaxSbn, "no such block in a slab");
    // Without the bit of an increment, and of no map: decrements leave the type bits 0.
    store_le24(out, sbn);
    out += kSlabJournalEntrySize;
  }
  header.recovery_point = recovery_point;
  header.entry_count = static_cast<std::uint16_t>(header.entry_count + blocks.size());
}

SlabJournalHeader decode_slab_journal_header(ConstBytes block) {
  check(block.size() >= kSlabJournalHeaderSize, "a slab journal header is 36 bytes");
  const std::byte* p = block.data();
  SlabJournalHeader header;
  header.head = SlabSequence{load_le64(p + kHead)};
  header.sequence = SlabSequence{load_le64(p + kSequence)};
  header.recovery_point = JournalPoint::from_packed(load_le64(p + kRecoveryPoint));
  header.nonce = load_le64(p + kNonce);
  header.type = load_u8(p + kType);
  header.has_block_map_increments = load_u8(p + kHasBlockMapIncrements) != 0;
  header.entry_count = load_le16(p + kEntryCount);
  return header;
}

bool counts(const SlabJournalHeader& header, std::uint64_t nonce) {
  // The count as well, so that whoever reads the entries stays in the block.
  return header.type == kSlabJournalType && header.nonce == nonce &&
         header.entry_count <= slab_journal_capacity(header.has_block_map_increments);
}

SlabJournalEntry slab_journal_entry(ConstBytes block, const SlabJournalHeader& header,
                                    unsigned index) {
  check(
      block.size() == kBlockSize && index < slab_journal_capacity(header.has_block_map_increments),
      "no such slab journal entry");
  const std::uint32_t word =
      load_le24(block.data() + kSlabJournalHeaderSize + kSlabJournalEntrySize * index);
  const bool increment = (word & kIncrementBit) != 0;
  SlabJournalEntry entry{word & kMaxSbn, increment ? ReferenceOperation::data_increment
                                                   : ReferenceOperation::data_decrement};
  if (header.has_block_map_increments &&
      (load_u8(block.data() + kSlabJournalTypesOffset + index / 8) >> index % 8 & 1U) != 0) {
    entry.operation = increment ? ReferenceOperation::block_map_increment
                                : ReferenceOperation::block_map_decrement;
  }
  return entry;
}

}  // namespace uvdo
