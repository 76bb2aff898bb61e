// SPDX-License-Identifier: GPL-2.0-or-later
// What the recovery journal means for somebody who only reads a volume: the changes of block map
// pages that it demands, kept in memory. A volume that was not shut down is seen as a recovery
// would leave it; one that waits for a rebuild, or whose journal a recovery would refuse, as a
// rebuild would (behaviour.md, 9 and 10). It does no I/O: whoever reads the ring shows it the
// blocks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "format/page_change.h"
#include "format/rebuild_journal.h"
#include "format/usable_journal.h"

namespace uvdo {

/// Whether a volume in this state has something in its journal that its block map lacks.
[[nodiscard]] constexpr bool needs_journal(VolumeState state) {
  return state != VolumeState::clean && state != VolumeState::new_volume;
}
/// What it means, in a sentence, that a volume in such a state is read without its journal.
[[nodiscard]] std::string left_out_text(VolumeState state);
/// Whether a volume in this state is written to only after a rebuild.
[[nodiscard]] constexpr bool needs_rebuild(VolumeState state) {
  return state == VolumeState::read_only_mode || state == VolumeState::force_rebuild ||
         state == VolumeState::rebuild_for_upgrade;
}

struct JournalView {
  enum class Rule : std::uint8_t { recovery, rebuild };
  Rule rule = Rule::recovery;
  UsableJournal usable;   ///< what a recovery may use of it
  PageChangeSet changes;  ///< by the rule
  std::uint64_t entries = 0;
  // What nobody can bring back.
  std::uint64_t lost_entries = 0;     ///< of blocks that are missing, at most
  std::uint64_t invalid_entries = 0;  ///< that make no sense
  std::vector<std::string> losses;    ///< a sentence each; the first few only

  /// Logical blocks whose last flushed contents may be lost, at most: which ones they are, only the
  /// lost entries could tell.
  [[nodiscard]] std::uint64_t blocks_affected() const { return lost_entries + invalid_entries; }
};

/// Makes the view: survey() of every block of the ring, then begin(), then take() of the block at
/// the place of wanted() until that is nothing, then finish().
class JournalViewBuilder {
 public:
  explicit JournalViewBuilder(const SuperBlock& super) : super_(super), scan_(super) {}

  /// What lies at a place of the ring, in the order of place; what is known to be zeros may be left
  /// out.
  void survey(std::uint64_t place, ConstBytes block) { scan_.survey(place, block); }
  /// Where the journal begins and ends, after the last place.
  [[nodiscard]] const JournalExtent& extent() const { return scan_.extent(); }
  /// Bytes that the changes take at most while they are gathered, after the last place.
  [[nodiscard]] std::uint64_t memory_bound() const {
    return 2 * most_changes() * sizeof(PageChange);
  }
  void begin() {
    view_.changes.reserve(most_changes());
    scan_.begin();
    go_on();
  }
  [[nodiscard]] std::optional<JournalSequence> wanted() const;
  /// Calls f(sequence, index, entry) for each entry that a recovery would use, in their order, if
  /// that is what the volume's state calls for.
  template <class F>
  void take(ConstBytes block, F&& f) {
    if (rebuild_) {
      visit(block);
    } else if (needs_rebuild(super_.state)) {
      // Only what a recovery could do is found out; the changes are those of the rebuild.
      scan_.take(block, [](JournalSequence, unsigned, const JournalEntry&) {});
    } else {
      scan_.take(block, [&](JournalSequence sequence, unsigned index, const JournalEntry& entry) {
        apply(sequence, entry);
        f(sequence, index, entry);
      });
    }
    go_on();
  }
  /// unsupported: the journal is of an old form, and the volume waits for a recovery.
  [[nodiscard]] Result<JournalView> finish();

 private:
  [[nodiscard]] std::uint64_t most_changes() const;
  void apply(JournalSequence sequence, const JournalEntry& entry);
  void visit(ConstBytes block);
  void go_on();
  void lose(std::string text);

  SuperBlock super_;
  JournalScan scan_;
  JournalView view_;
  bool is_scanned_ = false;
  std::optional<RebuildJournal> rebuild_;
  JournalSequence next_;  // for the rebuild
};

}  // namespace uvdo
