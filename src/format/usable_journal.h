// SPDX-License-Identifier: GPL-2.0-or-later
// What a recovery may use of the recovery journal (behaviour.md, 9.1 and 9.2), and what of it
// is damage. One rule for all who read a journal: the recovery itself, and the tools that show what
// it would leave. It does no I/O: whoever reads the ring shows it the blocks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "format/journal_extent.h"
#include "format/journal_limits.h"
#include "format/journal_point.h"
#include "format/recovery_journal_block.h"
#include "format/slab_layout.h"
#include "format/super_block.h"

namespace uvdo {

/// Whether a block of this header is block `sequence` of this life of the volume, in its place.
[[nodiscard]] bool is_journal_block(const JournalBlockHeader& header, JournalSequence sequence,
                                    const SuperBlock& super);

/// What a recovery may use of a journal.
struct UsableJournal {
  JournalExtent extent;
  /// The last block with usable entries; the one before the head if there is none.
  JournalSequence last;
  std::uint16_t last_entries = kEntriesPerBlock;  ///< usable ones of that block
  std::uint64_t entries = 0;                      ///< usable ones of all blocks
  // After the last usable entry.
  std::uint64_t logical_blocks_used = 0;
  std::uint64_t block_map_blocks = 0;

  // Why a recovery must not use it.
  bool is_of_old_form = false;        ///< only a rebuild reads that
  std::uint64_t invalid_entries = 0;  ///< among the usable ones
  std::uint64_t lost_blocks = 0;      ///< missing, or not whole, though they were stable once
  std::vector<std::string> damage;    ///< a sentence for each thing; the first few only

  // Blocks behind the end of what is usable, which a recovery leaves out. Without damage they were
  // on their way to the disk when the power failed, and nobody was promised what they say.
  std::uint64_t blocks_behind = 0;
  std::uint64_t entries_behind = 0;

  [[nodiscard]] bool is_damaged() const { return !damage.empty(); }
  /// Whether the entry at an expanded point is one that was applied, or older. A slab journal block
  /// is written when its entries are stable here: of one that is newer, entries have been lost.
  [[nodiscard]] bool covers(JournalPoint expanded) const;
  /// The error of a recovery. Needs is_damaged().
  [[nodiscard]] Error error() const;
};

/// The error of whoever would have to replay a journal of the old form.
[[nodiscard]] Error old_journal_error();

/// Finds it out: survey() of every block of the ring, then begin(), then take() of the block at the
/// place of wanted() until that is nothing, then finish().
class JournalScan {
 public:
  explicit JournalScan(const SuperBlock& super);

  /// What lies at a place of the ring, in the order of place. What is known to be zeros may be left
  /// out.
  void survey(std::uint64_t place, ConstBytes block);
  [[nodiscard]] const JournalExtent& extent() const { return usable_.extent; }

  /// After the survey.
  void begin();
  [[nodiscard]] std::optional<JournalSequence> wanted() const {
    if (step_ == Step::done) return std::nullopt;
    return next_;
  }
  /// `block` is what lies at the place of wanted(). Calls f(sequence, index, entry) for each entry
  /// that a recovery uses, in their order.
  template <class F>
  void take(ConstBytes block, F&& f) {
    const JournalSequence sequence = next_;
    const unsigned usable = take_block(block);
    for (unsigned i = 0; i < usable; ++i) {
      const JournalEntry entry = journal_entry(block, i);
      if (is_applicable(entry, super_, slabs_)) f(sequence, i, entry);
    }
  }
  [[nodiscard]] UsableJournal finish();

 private:
  enum class Step : std::uint8_t {
    before_head,  ///< the block before the head has the counters if no later one is usable
    usable,
    behind,  ///< behind the end of what is usable
    done,
  };

  /// Goes on to the next block; returns how many entries of this one are used.
  unsigned take_block(ConstBytes block);
  /// The next block of the usable part; returns how many of its entries are used.
  unsigned use(ConstBytes block, const JournalBlockHeader& header);
  /// A block behind the end: counts it, and sees whether one is missing that was stable.
  void look_behind(ConstBytes block, const JournalBlockHeader& header, bool is_there);
  /// What can be used ends in, or before, block `end`, which is not whole.
  void end_at(JournalSequence end);
  /// To the next block; behind the highest tail there is none.
  void go_on();
  /// A block is not there, or not whole: damage, if it was stable once.
  void lose(JournalSequence sequence);
  /// Sets the counters to what they are after `entries` entries of a block.
  void count(ConstBytes block, const JournalBlockHeader& header, unsigned entries);
  /// Tells of entries for which a recovery is refused.
  void check_entries(ConstBytes block, JournalSequence sequence, unsigned entries);
  /// Adds a sentence to the damage, while there are few.
  void tell(std::string text);

  SuperBlock super_;
  SlabLayout slabs_;
  UsableJournal usable_;
  Step step_ = Step::done;
  JournalSequence next_;
};

}  // namespace uvdo
