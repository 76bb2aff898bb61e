// SPDX-License-Identifier: GPL-2.0-or-later
// One slab in memory: reference counts, and the slab journal that says how they change. All
// changes are made at once; what of them may be written when is the depot's business.
//
// What holds here:
// - Each change of a count is an entry of the journal first, in memory (behaviour.md, 5.1).
// - A dirty reference block holds the journal block of its first change (holds_): the ring's head
//   does not pass that one before the reference block is written. So what the counts on disk lack
//   is in the journal.
// - Blocks of the journal in memory are those from named() on, closed_ the oldest; each holds the
//   recovery journal block of its first entry (Head::slab_journal) until the summary names it.
// - free_blocks_ is the number of counts that are 0. Blocks that wait to be free are provisional.
//
// Tables are untouched, and their memory is not used, until the slab is (use()).
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/block_types.h"
#include "base/prefetch.h"
#include "depot/ring_state.h"
#include "depot/slab_journal_memory.h"
#include "depot/slab_memory.h"
#include "format/journal_point.h"
#include "format/reference_block.h"
#include "format/slab_config.h"
#include "format/slab_journal_block.h"
#include "format/slab_summary.h"
#include "journal/recovery_journal.h"

namespace uvdo {

/// A block number here is an Sbn, counted from the slab's first data block (volume.md, 5).
class Slab {
 public:
  /// Where a slab stands between loading and use.
  enum class State : std::uint8_t {
    unscrubbed,  ///< counts unknown: neither allocation nor sharing, changes are only journaled
    ready,
  };

  /// The memory of `tables`, and that of journal blocks, outlives the slab.
  Slab(SlabNumber number, const SlabConfig& config, std::uint64_t nonce, const SlabTables& tables,
       SlabJournalMemory& journal_memory)
      : number_(number),
        config_(config),
        nonce_(nonce),
        counts_(tables.counts),
        references_(tables.references),
        holds_(tables.holds),
        freed_(tables.freed),
        ring_(config.slab_journal_blocks),
        journal_memory_(journal_memory) {}

  [[nodiscard]] SlabNumber number() const { return number_; }
  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] bool is_ready() const { return state_ == State::ready; }
  [[nodiscard]] std::uint64_t free_blocks() const { return free_blocks_; }
  /// Whether nothing of this slab was ever used; its tables were not touched then.
  [[nodiscard]] bool is_pristine() const { return is_ready() && !is_used_; }

  // ---- loading

  /// A slab never used: all free.
  void load_pristine();
  /// Where the counts of a slab that is not ready are made out. Its tables are in use from here on.
  [[nodiscard]] std::span<ReferenceCount> counts_to_load();
  /// Those counts (0..254 each) are known; the slab is ready.
  void load_counts();
  /// Where the journal goes on: blocks from `head` to before `next` may be needed; `point` is the
  /// last slab journal entry that the counts reflect.
  void load_journal(SlabSequence head, SlabSequence next, JournalPoint point,
                    JournalPoint recovery_point);
  /// Marks all reference blocks, or one, as to be written.
  void dirty_all_reference_blocks();
  void dirty_reference_block(std::uint32_t index);
  /// Journals what a recovery found missing: as append(), but if the ring is full the oldest block
  /// is dropped, which had been given up before the crash (behaviour.md, 9.4).
  void append_recovered(Sbn sbn, ReferenceOperation operation, JournalPoint point,
                        RecoveryJournal& journal);
  /// Calls f(point, entry) for the journaled changes that are only in memory.
  template <class F>
  void for_each_unnamed_entry(F&& f) const {
    const auto visit = [&](const SlabJournalHeader& header, ConstBytes block) {
      for (unsigned i = 0; i < header.entry_count; ++i) {
        f(JournalPoint{header.sequence.value(), static_cast<std::uint16_t>(i)},
          slab_journal_entry(block, header, i));
      }
    };
    for (const SlabJournalBlock* block = closed_; block != nullptr; block = block->next) {
      visit(block->header, block->bytes);
    }
    if (has_open_entries()) visit(header_, open_->bytes);
  }
  /// The counts on disk know all that the named blocks say; the summary on disk says so.
  void journal_was_scrubbed() { ring_.was_scrubbed(); }

  // ---- counts

  /// The count of a block, 255 if it is provisional or awaits being free.
  [[nodiscard]] ReferenceCount count(Sbn sbn) const {
    return is_used_ && is_ready() ? counts_[sbn] : kFree;
  }
  /// Takes up to `wanted` consecutive free blocks from the cursor on and makes them provisional.
  /// Nothing if there is none behind the cursor.
  struct Run {
    Sbn first = 0;
    std::uint32_t count = 0;
  };
  std::optional<Run> allocate(std::uint32_t wanted);
  /// Lets the next search begin at the slab's start.
  void rewind() { cursor_ = 0; }
  /// A free block that somebody wants to share again becomes provisional. False if it isn't free.
  bool claim_free(Sbn sbn);
  /// A provisional block becomes free.
  void release(Sbn sbn) {
    check(count(sbn) == kProvisional, "a block was released that is not provisional");
    counts_[sbn] = kFree;
    ++free_blocks_;
    freed_[word_of(sbn)] |= bit_of(sbn);
  }

  // ---- giving room back to the device
  // What is known of each area of kFreedAreaBlocks blocks is whether one has become free in it.

  /// The first free block of [begin, end), and those that are free behind it, up to `most`, become
  /// provisional; nothing if there is none. A slab that was never used gives none.
  std::optional<Run> claim_run(Sbn begin, Sbn end, std::uint32_t most);
  /// They become free again, and are not taken for newly freed.
  void give_back(Run run);
  /// The first area from `begin` on, and the ones next to it, where blocks have become free; its
  /// last area may end behind the slab. They are forgotten.
  std::optional<Run> take_freed_areas(Sbn begin);
  /// Blocks have become free there.
  void note_freed_area(Sbn sbn) { freed_[word_of(sbn)] |= bit_of(sbn); }

  // Many slabs are not in the processor's caches, and even less what belongs to them.

  void prefetch_itself() const {
    const auto* bytes = reinterpret_cast<const std::byte*>(this);
    for (std::size_t at = 0; at < sizeof(Slab); at += kCacheLine) uvdo::prefetch(bytes + at);
  }
  /// What a change of the count touches.
  void prefetch_change(Sbn sbn) const {
    prefetch_count(sbn);
    uvdo::prefetch(references_.data() + sbn / kCountsPerBlock);
    if (open_ != nullptr) {
      uvdo::prefetch(open_->bytes.data() + kSlabJournalHeaderSize +
                     header_.entry_count * kSlabJournalEntrySize);
    }
  }
  void prefetch_count(Sbn sbn) const { uvdo::prefetch(counts_.data() + sbn); }

  // ---- journaled changes

  /// Whether the journal takes so many entries of either kind now (one block of them at most).
  [[nodiscard]] bool has_room(std::size_t changes = kChangesAtOnce) const {
    if (open_ != nullptr && header_.entry_count + changes <= kSlabJournalFullEntries) return true;
    return journal_blocks_in_use() < config_.blocking && !journal_memory_.is_short();
  }
  /// Journals a change and makes it. `point` is that of the recovery journal entry. A decrement to
  /// zero leaves the block provisional; returns true then. Errc::corrupt if the count forbids it.
  Result<bool> apply(Sbn sbn, ReferenceOperation operation, JournalPoint point,
                     RecoveryJournal& journal);
  /// Journals and makes data decrements of all `blocks` (perhaps several times of one), whose
  /// entries in the recovery journal follow each other from `point` on. Needs has_room(). Writes
  /// the places in `blocks` that left a block provisional to `freed`, which is as long, and returns
  /// how many. Errors as apply().
  Result<std::size_t> drop(std::span<const Sbn> blocks, JournalPoint point,
                           RecoveryJournal& journal, std::span<std::uint16_t> freed);
  /// Journals a change without knowing the counts (while unscrubbed).
  void append(Sbn sbn, ReferenceOperation operation, JournalPoint point, RecoveryJournal& journal);
  /// Changes a count as a replayed entry demands.
  static Result<void> change_count(std::span<ReferenceCount> counts, Sbn sbn,
                                   ReferenceOperation operation);

  // ---- for the writer

  /// The oldest journal block that is full, or ended, and not yet named by a written summary; the
  /// others follow it.
  [[nodiscard]] SlabJournalBlock* oldest_closed() const { return closed_; }
  [[nodiscard]] bool has_closed() const { return closed_ != nullptr; }
  /// The oldest closed block has been named.
  void drop_closed_block();
  [[nodiscard]] bool has_open_entries() const {
    return open_ != nullptr && header_.entry_count > 0;
  }
  /// Recovery journal block that the oldest unnamed slab journal block holds, if there is one.
  [[nodiscard]] std::optional<JournalSequence> oldest_lock() const;
  /// Ends the open block so that it is written though it is not full.
  void close_open_block();
  /// The summary on disk names the block with this header, and all before it, now.
  void block_was_named(const SlabJournalHeader& header) {
    ring_.block_was_named(header.sequence, header.head);
  }
  /// The summary says that the counts on disk hold all that the journal does: no block is needed.
  void was_named_clean() { ring_.was_named_clean(); }
  /// The device was flushed: the summary on disk, and the head that it leads to, are durable, so
  /// that the blocks before may be overwritten.
  void summary_is_durable() { ring_.summary_is_durable(); }
  [[nodiscard]] SlabSequence named() const { return ring_.named(); }
  [[nodiscard]] SlabSequence head() const { return ring_.head(); }
  [[nodiscard]] SlabSequence next_sequence() const { return ring_.next(); }
  /// Blocks that the last durably named block still calls needed, to the open one: recovery may
  /// read them.
  [[nodiscard]] std::uint64_t journal_blocks_in_use() const { return ring_.in_use(); }
  /// The first block that must not be written yet, because its place in the ring is in use.
  [[nodiscard]] SlabSequence write_limit() const { return ring_.write_limit(); }
  /// Moves the head over blocks that nothing needs; to be called after a flush. It takes effect on
  /// disk with the next block that is written and named.
  void reap();
  /// Point of the slab journal of the latest change, and of the recovery journal.
  [[nodiscard]] JournalPoint last_point() const { return last_point_; }
  [[nodiscard]] JournalPoint last_recovery_entry() const { return last_entry_; }
  [[nodiscard]] JournalPoint recovery_point() const { return header_.recovery_point; }

  [[nodiscard]] std::uint32_t dirty_reference_blocks() const { return dirty_count_; }
  /// A dirty reference block that was first changed by a journal block before `limit`, and that is
  /// not being written; its content is packed into `out`. begin/end_write bracket the write.
  struct ReferenceWrite {
    std::uint32_t index = 0;
    SlabSequence held;  ///< journal block that waits for this write
  };
  std::optional<ReferenceWrite> begin_write(SlabSequence limit, MutableBytes out);
  void end_write(const ReferenceWrite& write);
  [[nodiscard]] bool is_writing() const { return writing_count_ > 0; }

  [[nodiscard]] const SlabSummaryEntry& summary() const { return summary_; }
  [[nodiscard]] SlabSummaryEntry& summary() { return summary_; }
  /// Whether block 1 of the journal has been reaped, or counts were written before.
  [[nodiscard]] bool counts_are_on_disk() const {
    return summary_.load_reference_counts || ring_.head() > SlabSequence{1};
  }

  /// Aborts if what is known of the slab contradicts itself: its journal's ring, its blocks in
  /// memory (one after the other from the first that is not named on), and what of its counts is
  /// to be written, and holds which journal block. Takes no longer than the ring has blocks.
  void check_invariants() const;

 private:
  static constexpr std::size_t kCacheLine = 64;

  // Where the bit of a block's area is.
  static std::size_t word_of(Sbn sbn) { return sbn / kFreedAreaBlocks / 64; }
  static std::uint64_t bit_of(Sbn sbn) { return std::uint64_t{1} << sbn / kFreedAreaBlocks % 64; }
  [[nodiscard]] bool is_freed_area(Sbn sbn) const {
    return (freed_[word_of(sbn)] & bit_of(sbn)) != 0;
  }

  void mark_dirty(Sbn sbn) {
    ReferenceBlock& block = references_[sbn / kCountsPerBlock];
    if (block.dirty_since == SlabSequence{0}) begin_dirty(block);
  }
  /// Needs the change to be journaled: the block is held by the journal block of that entry.
  void begin_dirty(ReferenceBlock& block);
  void prepare_block(ReferenceOperation operation, JournalPoint point, RecoveryJournal& journal);
  void open_block();
  /// Whether no change was ever journaled.
  [[nodiscard]] bool is_journal_unused() const {
    return ring_.next() == SlabSequence{1} && !has_open_entries();
  }
  /// Makes the tables usable; costs nothing after the first time.
  void use();

  SlabNumber number_;
  SlabConfig config_;
  std::uint64_t nonce_;
  State state_ = State::unscrubbed;
  bool is_used_ = false;  // the tables hold something
  std::span<ReferenceCount> counts_;
  std::span<ReferenceBlock> references_;
  std::span<std::uint32_t> holds_;  // dirty reference blocks by slab journal block (ring index)
  std::span<std::uint64_t> freed_;  // a bit for each area
  std::uint32_t dirty_count_ = 0;
  std::uint32_t writing_count_ = 0;
  std::uint32_t write_cursor_ = 0;
  std::uint64_t free_blocks_ = 0;
  // Where the next search for a free block begins.
  Sbn cursor_ = 0;

  RingState ring_;
  SlabJournalMemory& journal_memory_;
  SlabJournalBlock* open_ = nullptr;
  SlabJournalHeader header_;  // of the open block, or of the last one
  // The recovery journal block of the open block's first entry.
  JournalSequence open_lock_;
  // From the oldest, closed_, to the newest, last_closed_.
  SlabJournalBlock* closed_ = nullptr;
  SlabJournalBlock* last_closed_ = nullptr;
  // Of the latest change: in the slab's journal, and in the recovery journal.
  JournalPoint last_point_;
  JournalPoint last_entry_;
  SlabSummaryEntry summary_;
};

}  // namespace uvdo
