// SPDX-License-Identifier: GPL-2.0-or-later
#include "journal/journal_memory.h"

#include <algorithm>

namespace uvdo {
namespace {

struct Row {
  JournalSequence sequence;
  unsigned entries = 0;
  std::size_t buffer = 0;
};

}  // namespace

Result<KeptJournal> KeptJournal::read(ConstBytes memory) {
  const auto wrong = [](const char* what) {
    return Error(Errc::corrupt, std::string("the journal in its memory ") + what);
  };
  if (memory.size() != JournalMemory::kBytes) return wrong("has another size");
  KeptJournal kept;
  kept.block_map_head = JournalSequence{shared_word(memory, 0)};
  kept.slab_journal_head = JournalSequence{shared_word(memory, 1)};
  kept.head_on_disk = JournalSequence{shared_word(memory, 2)};
  kept.written = JournalPoint::from_packed(shared_word(memory, 3));
  std::vector<Row> rows;
  for (std::size_t i = 0; i < JournalMemory::kBuffers; ++i) {
    const std::uint64_t word = shared_word(memory, JournalMemory::kFirstBuffer + i);
    const Row row{JournalSequence{word >> 16U}, static_cast<unsigned>(word & 0xFFFFU), i};
    if (word == 0) continue;
    if (row.entries > kEntriesPerBlock) return wrong("has a block with too many entries");
    if (row.entries > 0) rows.push_back(row);
  }
  std::ranges::sort(rows, {}, &Row::sequence);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Row& row = rows[i];
    if (i > 0 && row.sequence != rows[i - 1].sequence + 1) return wrong("has a gap");
    if (i + 1 < rows.size() && row.entries != kEntriesPerBlock) {
      return wrong("has a block in the middle that is not full");
    }
    const ConstBytes block =
        memory.subspan(JournalMemory::kTableBytes + row.buffer * kBlockSize, kBlockSize);
    const JournalBlockHeader header = decode_journal_header(block);
    if (header.sequence != row.sequence) return wrong("has a block in another's place");
    KeptJournalBlock one{row.sequence, {}, header.logical_blocks_used, header.block_map_blocks};
    one.entries.reserve(row.entries);
    for (unsigned entry = 0; entry < row.entries; ++entry) {
      one.entries.push_back(journal_entry(block, entry));
    }
    kept.blocks.push_back(std::move(one));
  }
  return kept;
}

std::uint64_t KeptJournal::entries_behind_written() const {
  std::uint64_t count = 0;
  for (const KeptJournalBlock& block : blocks) {
    for (std::size_t i = 0; i < block.entries.size(); ++i) {
      count +=
          JournalPoint{block.sequence.value(), static_cast<std::uint16_t>(i)} > written ? 1 : 0;
    }
  }
  return count;
}

}  // namespace uvdo
