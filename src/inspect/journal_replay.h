// SPDX-License-Identifier: GPL-2.0-or-later
// Reading the recovery journal of a stopped volume, for what it would change: the first half of a
// recovery or rebuild, in memory (behaviour.md, 9.1 to 9.4, 10). Memory is 16 bytes for each
// change of the block map, and as much for each of a count.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/block_types.h"
#include "base/result.h"
#include "format/journal_point.h"
#include "format/journal_view.h"

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
  std::uint64_t point = 0;  ///< packed, expanded (volume.md, 5.2)
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

/// The view of the journal that the volume is seen through, and what it does to the counts.
struct JournalReplay {
  JournalView view;
  std::vector<CountChange> count_changes;  ///< by slab, then in the order of the journal
  std::uint64_t unreadable_blocks = 0;     ///< of the ring; they count as missing
  std::vector<std::string> unreadable;     ///< why; the first few

  [[nodiscard]] bool found() const { return view.usable.extent.found; }
  /// Whether something that may have been flushed cannot be had from the journal any more.
  [[nodiscard]] bool is_damaged() const {
    return view.blocks_affected() > 0 || unreadable_blocks > 0;
  }
  [[nodiscard]] std::span<const CountChange> changes_of_slab(SlabNumber slab) const;
};

/// Replays the journal in memory, in the way that the volume's state asks for. What of it cannot be
/// read counts as missing. unsupported: the volume waits for a recovery, and the blocks are of the
/// old form.
Result<JournalReplay> replay_journal(const VolumeImage& image);

}  // namespace uvdo
