// SPDX-License-Identifier: GPL-2.0-or-later
// Finding what counts in the recovery journal, and what it would change: the first half of a
// recovery, in memory (vdo-behaviour.md, 9.1 to 9.4). Memory is 16 bytes for each change.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/block_types.h"
#include "base/result.h"
#include "format/block_mapping.h"
#include "format/journal_point.h"
#include "format/page_change.h"
#include "format/recovery_journal_block.h"

namespace uvdo {

class VolumeImage;

/// Calls f(index, header, block) for each block of the ring that counts, in the order of place.
/// Holes of sparse files are skipped.
using JournalBlockVisitor =
    std::function<void(std::uint64_t, const JournalBlockHeader&, ConstBytes)>;
Result<void> for_each_journal_block(const VolumeImage& image, const JournalBlockVisitor& f);

/// What a look at the whole ring says.
struct JournalOverview {
  std::uint64_t blocks = 0;          ///< that count
  std::uint64_t current_blocks = 0;  ///< of these, at or after the super block's journal start
  JournalSequence first_current;     ///< only if there are any
  JournalSequence last_current;
};
Result<JournalOverview> survey_journal(const VolumeImage& image);

/// One reference count that the journal changes.
struct CountChange {
  std::uint64_t point = 0;  ///< packed, expanded (vdo-format.md, 5.2)
  std::uint32_t place = 0;  ///< kind << 30 | slab offset
  std::uint32_t slab = 0;
  enum class Kind : std::uint8_t { decrement, increment, map_increment };
  CountChange(JournalPoint at, SlabNumber slab_number, Sbn sbn, Kind kind)
      : point(at.packed()),
        place(static_cast<std::uint32_t>(kind) << 30U | sbn),
        slab(slab_number) {}
  [[nodiscard]] Kind kind() const { return static_cast<Kind>(place >> 30U); }
  [[nodiscard]] Sbn sbn() const { return place & ((1U << 30U) - 1); }
};

struct JournalReplay {
  bool found = false;  ///< there is something at or after the journal start
  JournalSequence block_map_head;
  JournalSequence slab_journal_head;
  JournalSequence highest_tail;
  JournalSequence last_usable;
  std::uint64_t entries = 0;  ///< usable ones
  std::uint64_t logical_blocks_used = 0;
  std::uint64_t block_map_blocks = 0;
  std::uint64_t invalid_entries = 0;
  std::vector<std::string> damage;         ///< what a recovery would refuse; the first few only
  std::vector<PageChange> page_changes;    ///< by page and slot, one each
  std::vector<CountChange> count_changes;  ///< by slab, then in the order of the journal

  [[nodiscard]] std::span<const PageChange> changes_of(Pbn page) const;
  [[nodiscard]] std::span<const CountChange> changes_of_slab(SlabNumber slab) const;
};

/// Replays the journal of a volume that was not shut down. unsupported: blocks of the old form.
Result<JournalReplay> replay_journal(const VolumeImage& image);

}  // namespace uvdo
