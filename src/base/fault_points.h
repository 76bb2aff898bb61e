// SPDX-License-Identifier: GPL-2.0-or-later
// Deliberate mistakes: names for rules that the engine must keep, each of which a test can have it
// break, to prove that the simulation notices (docs/testing.md). A build without
// UVDO_FAULT_POINTS, as every release is, has none of them: is_on() is then the constant false.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

namespace uvdo {

enum class Fault : std::uint8_t {
  journal_without_flush,         ///< no flush before a recovery journal block
  journal_head_ignores_pages,    ///< the journal forgets entries of pages not yet written
  reuse_before_stable,           ///< a freed block is given out before its entry is stable
  reuse_while_read,              ///< a freed block is given out though somebody still reads it
  share_what_gets_free,          ///< a block about to be free is shared without being kept
  share_without_compare,         ///< advice of the index is taken without comparing the data
  page_before_entry,             ///< a map page is written before its entries are stable
  new_page_in_one_step,          ///< a new map page is declared complete by its first write
  counts_before_entry,           ///< reference counts are written before their entries are stable
  slab_journal_before_entry,     ///< a slab journal block is written before its entries are stable
  summary_without_flush,         ///< the summary is written before the slab journal is stable
  flush_ignored,                 ///< a flush is answered and nothing is done
  fua_ignored,                   ///< a FUA write is answered before its entry is stable
  flush_forgets_packer,          ///< a flush does not wait for writes that are under way
  no_dirty_mark,                 ///< a volume in use is still marked clean
  recovery_repeats_entries,      ///< recovery adds entries that slab journals have already
  recovery_drops_decrements,     ///< recovery forgets the old blocks of its entries
  replay_ignores_points,         ///< slab journal entries are applied to counts that know them
  write_error_ignored,           ///< a failed write of data counts as done
  growth_without_copy,           ///< the journal's ring is not copied to its new place
  resume_without_dirty_mark,     ///< a volume that goes on is still marked clean
  counts_before_summary,         ///< reference counts are written behind a summary that is at risk
  format_without_flush,          ///< a format changes an old volume that may still be found
  long_request_keeps_turn,       ///< a long request runs to its end without giving way
  read_only_without_journal,     ///< the journal of a read-only volume is not replayed
  growth_not_told_to_map,        ///< the block map has memory for the old logical size alone
  flush_joined_by_later_writes,  ///< a flush waits for writes that come after it too
  room_joined_by_later_readers,  ///< a freed block waits for those who begin to read later too
  sleeper_posted_twice,          ///< who is woken by his timer is woken by the event as well
  cache_kept_over_new_index,     ///< a new index is given pages of the old one
  discard_allocates,             ///< a discard of a part of a block makes pages of the map
  kept_journal_left_out,         ///< the journal of a process that died is not written to its end
  kept_record_not_moved,         ///< data go on in other memory, and their record is left behind
  kept_memory_dropped_early,     ///< the memory of a process that died is not kept until a flush
  discard_without_claim,         ///< what is being discarded beneath can be taken meanwhile
};

inline constexpr auto kFaults = std::to_array<std::pair<std::string_view, Fault>>({
    {"journal-without-flush", Fault::journal_without_flush},
    {"journal-head-ignores-pages", Fault::journal_head_ignores_pages},
    {"reuse-before-stable", Fault::reuse_before_stable},
    {"reuse-while-read", Fault::reuse_while_read},
    {"share-what-gets-free", Fault::share_what_gets_free},
    {"share-without-compare", Fault::share_without_compare},
    {"page-before-entry", Fault::page_before_entry},
    {"new-page-in-one-step", Fault::new_page_in_one_step},
    {"counts-before-entry", Fault::counts_before_entry},
    {"slab-journal-before-entry", Fault::slab_journal_before_entry},
    {"summary-without-flush", Fault::summary_without_flush},
    {"flush-ignored", Fault::flush_ignored},
    {"fua-ignored", Fault::fua_ignored},
    {"flush-forgets-packer", Fault::flush_forgets_packer},
    {"no-dirty-mark", Fault::no_dirty_mark},
    {"recovery-repeats-entries", Fault::recovery_repeats_entries},
    {"recovery-drops-decrements", Fault::recovery_drops_decrements},
    {"replay-ignores-points", Fault::replay_ignores_points},
    {"write-error-ignored", Fault::write_error_ignored},
    {"growth-without-copy", Fault::growth_without_copy},
    {"resume-without-dirty-mark", Fault::resume_without_dirty_mark},
    {"counts-before-summary", Fault::counts_before_summary},
    {"format-without-flush", Fault::format_without_flush},
    {"long-request-keeps-turn", Fault::long_request_keeps_turn},
    {"read-only-without-journal", Fault::read_only_without_journal},
    {"growth-not-told-to-map", Fault::growth_not_told_to_map},
    {"flush-joined-by-later-writes", Fault::flush_joined_by_later_writes},
    {"room-joined-by-later-readers", Fault::room_joined_by_later_readers},
    {"sleeper-posted-twice", Fault::sleeper_posted_twice},
    {"cache-kept-over-new-index", Fault::cache_kept_over_new_index},
    {"discard-allocates", Fault::discard_allocates},
    {"kept-journal-left-out", Fault::kept_journal_left_out},
    {"kept-record-not-moved", Fault::kept_record_not_moved},
    {"kept-memory-dropped-early", Fault::kept_memory_dropped_early},
    {"discard-without-claim", Fault::discard_without_claim},
});

/// The mistakes that are switched on.
class FaultPoints {
 public:
#ifdef UVDO_FAULT_POINTS
  static constexpr bool kPossible = true;
#else
  static constexpr bool kPossible = false;
#endif
  FaultPoints() = default;
  explicit FaultPoints(Fault fault) : on_(std::uint64_t{1} << static_cast<unsigned>(fault)) {}
  [[nodiscard]] bool is_on(Fault fault) const {
    return kPossible && ((on_ >> static_cast<unsigned>(fault)) & 1U) != 0;
  }

 private:
  std::uint64_t on_ = 0;
};

}  // namespace uvdo
