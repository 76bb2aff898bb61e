// SPDX-License-Identifier: GPL-2.0-or-later
// The slabs of a volume: who refers to which physical block, and which are free
// (behaviour.md, 5.3, 5.5 and 8).
//
// Room is reserved by count and a block is chosen late: reserve() promises blocks to writes that
// have been accepted, allocate() then hands out neighbours. A block that loses its last reference
// is free only when the journal entry that says so is stable and nobody reads the block any more.
//
// What holds here:
// - The free blocks of the slabs that are ready are those promised and those promised to nobody:
//   promised_ + free_blocks_. So allocate() out of a promise always finds one.
// - Blocks in pending_frees_ are provisional in their slab and in neither of the two; so are those
//   of claim_run(), which are given back soon: who finds no other room waits for them.
// - One pass over journals, counts and summary runs at a time (writer_); changes are made
//   meanwhile.
// - An error of the device in a pass of writing makes the volume read-only.
//
// It belongs to the thread of the metadata.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "async/wait_queue.h"
#include "base/aligned_memory.h"
#include "base/fault_points.h"
#include "base/flat_map.h"
#include "depot/pending_frees.h"
#include "depot/read_epochs.h"
#include "depot/slab.h"
#include "depot/slab_journal_memory.h"
#include "depot/slab_memory.h"
#include "device/pbn_device.h"
#include "format/compressed_block.h"
#include "format/slab_layout.h"
#include "format/super_block.h"
#include "journal/recovery_journal.h"
#include "statistics/part_statistics.h"

namespace uvdo {

/// Consecutive physical blocks.
struct PbnRun {
  Pbn first;
  std::uint32_t count = 0;
};

/// Since the start; behaviour.md, 14 has the kernel's names for most of them.
struct DepotStatistics {
  AllocatorStatistics allocator;
  SlabJournalStatistics slab_journal;
  SlabSummaryStatistics slab_summary;
  ReferenceCountStatistics ref_counts;
  std::uint64_t journal_memory_shortages = 0;  ///< waits for memory of slab journal blocks
  std::uint64_t free_shortages = 0;            ///< waits because too many blocks get free at once
};

/// What the depot has memory for besides the tables of its slabs.
struct DepotPools {
  /// Slab journal blocks that are ended but not yet written; at least kChangesAtOnce. With so
  /// many, who would begin another waits.
  std::size_t journal_blocks = 0;
  /// Blocks that are to become free, before those who free more wait in wait_for_fewer_frees().
  std::size_t frees = 0;
  /// Blocks that may be freed by those who have waited.
  std::size_t blocks_at_once = 0;

  /// Blocks that may be on their way to being free: each of the latter may leave one, and keep
  /// another for its readers.
  [[nodiscard]] std::size_t most_frees() const { return frees + 2 * blocks_at_once; }
  /// Bytes that all of it takes.
  [[nodiscard]] std::uint64_t memory_needed() const {
    return journal_blocks * kBlockSize + most_frees() * PendingFrees::kBytesPerRecord;
  }
};

class SlabDepot {
 public:
  SlabDepot(Executor& executor, PbnDevice device, const SuperBlock& super_block,
            RecoveryJournal& journal, ReadOnlyNotifier& notifier, const DepotPools& pools,
            FaultPoints faults = {});
  SlabDepot(const SlabDepot&) = delete;
  SlabDepot& operator=(const SlabDepot&) = delete;

  // ---- loading (slab_loader.cpp)

  /// A volume that was never started: all slabs are free. Writes the whole summary.
  Task<Result<void>> load_new();
  /// Reads the summary, merges its areas by the zone count it was written with, and writes all 16.
  Task<Result<void>> load_summary(std::uint8_t old_zone_count);
  /// Finds the end of each slab's journal. Slabs never used become ready.
  Task<Result<void>> load_journals();
  /// Makes every slab ready: reads its counts and replays its journal if need be.
  Task<Result<void>> scrub_all();

  // ---- after a crash (slab_recovery.cpp)

  /// As load_journals(), but slabs never used wait for load_unused(): changes may be missing.
  Task<Result<void>> load_journal_tails();
  /// Journals a change that the recovery journal entry at `point` demands, unless the slab's
  /// journal has it. True if it was missing.
  bool recover_change(Pbn pbn, ReferenceOperation operation, JournalPoint point);
  /// Whether write_recovered() must come before the changes of another entry.
  [[nodiscard]] bool is_recovery_full() const { return journal_memory_.is_short(); }
  /// Writes the gathered blocks and the summary; with `all` the open ones too.
  Task<Result<void>> write_recovered(bool all);
  /// Makes the slabs ready that were never used and are not touched by the recovery either.
  void load_unused();
  /// Scrubs what must be before the volume may be used: slabs whose journals are nearly full, and
  /// at least one.
  Task<Result<void>> scrub_first();
  /// Scrubs one slab while others are in use, those first that writers may be waiting for. Needs
  /// unscrubbed() > 0.
  Task<Result<void>> scrub_next();
  /// Waits until a slab becomes ready, or wake_waiters().
  Task<void> wait_for_scrub();
  /// Lets everybody look again who waits for room: there is more, or the volume is read-only.
  void wake_waiters() {
    room_.wake_all();
    promises_changed_.wake_all();
  }

  // ---- space

  /// Promises `count` blocks if there are as many that are neither used nor promised.
  [[nodiscard]] bool reserve(std::uint64_t count);
  /// Takes back a promise.
  void unreserve(std::uint64_t count);
  /// Whether blocks are promised that were not taken yet, and may not be needed.
  [[nodiscard]] bool has_promises() const { return promised_ > 0; }
  /// Waits until one of them is taken or given back, or wake_waiters(). Nobody is promised any
  /// meanwhile, so that there is an end to it.
  Task<void> wait_for_promises();
  /// Whether somebody waits there.
  [[nodiscard]] bool has_seekers() const { return seekers_ > 0; }
  /// Up to `wanted` neighbouring blocks, provisionally; at least one if any is free. With
  /// `promised`, they come out of a promise that the caller has (which shrinks by what it gets);
  /// else only blocks that nobody was promised are given.
  std::optional<PbnRun> allocate(std::uint32_t wanted, bool promised);
  /// A provisional block that was not used after all.
  void release(Pbn pbn);
  /// Blocks that wait for nothing any more become free: a good many, more of them only until
  /// `needed` are free.
  void collect_frees(std::uint64_t needed = 0);
  /// Blocks that no reference keeps and nobody was promised.
  [[nodiscard]] std::uint64_t free_blocks() const { return free_blocks_; }
  /// Whether blocks are about to become free once the journal is committed and readers are done.
  [[nodiscard]] bool has_pending_frees() const {
    return pending_frees_.size() > 0 || claimed_runs_ > 0;
  }
  /// Waits until space may have come: commits the journal if that frees blocks.
  Task<void> wait_for_frees();
  /// Whether so many blocks are about to become free that who frees more must wait for them.
  [[nodiscard]] bool has_most_frees() const { return pending_frees_.records() >= most_frees_; }
  /// Waits until has_most_frees() is over, or the volume is read-only. Not to be called by who is
  /// in epochs().
  Task<void> wait_for_fewer_frees();
  [[nodiscard]] std::uint64_t pending_free_count() const { return pending_frees_.size(); }

  // ---- giving room back to the device

  /// The first run of free blocks in [begin, end) of a slab, of up to `most` that nobody was
  /// promised, taken out of circulation: they are neither given out nor shared until give_back().
  /// Nothing if there is none, and of a slab that was never used.
  std::optional<PbnRun> claim_run(SlabNumber slab, Sbn begin, Sbn end, std::uint32_t most);
  void give_back(PbnRun run);
  /// The first neighbouring areas of a slab, from `begin` on, in which blocks have become free
  /// since they were taken the last time; nothing if there is none behind.
  std::optional<Slab::Run> take_freed_areas(SlabNumber slab, Sbn begin) {
    return slabs_[slab]->take_freed_areas(begin);
  }
  /// Those of [begin, end) are to be found again.
  void leave_freed_areas(SlabNumber slab, Sbn begin, Sbn end);
  /// Blocks that have become free since the start, as often as they have.
  [[nodiscard]] std::uint64_t released_blocks() const { return released_blocks_; }

  // ---- references

  [[nodiscard]] const SlabLayout& layout() const { return layout_; }
  /// Whether one more reference may be made to a block that somebody uses, or whose last user has
  /// just left. What the block holds cannot change as long as the caller is in epochs().
  [[nodiscard]] bool may_share(BlockMapping mapping);
  /// Makes the promise of may_share() good for a block whose last user left before the caller
  /// entered epochs(): it does not become free as long as the caller is there.
  void keep_for_readers(Pbn pbn);
  /// Between watch() and the matching unwatch(), was_freed() tells whether the block has become
  /// free, and may have got other data since.
  void watch(Pbn pbn);
  void unwatch(Pbn pbn);
  [[nodiscard]] bool was_freed(Pbn pbn);
  /// References of a block now (255: provisional), nothing if unknown.
  [[nodiscard]] std::optional<ReferenceCount> count_of(Pbn pbn) const;
  /// Takes a free block out of circulation (it becomes provisional) because its old data may be
  /// shared again. False if it is not free.
  [[nodiscard]] bool claim_free(Pbn pbn);
  /// Whether a change of this block's count can be journaled now.
  [[nodiscard]] bool has_room(Pbn pbn) const;
  Task<void> wait_for_room();
  /// Journals and makes a change that the recovery journal entry at `point` demands. An error
  /// means that the counts are wrong.
  Result<void> change(Pbn pbn, ReferenceOperation operation, JournalPoint point);
  /// Fills `run` with what mapping_of(0), mapping_of(1), ... say, an std::optional<BlockMapping>
  /// each, as far as drop() takes them at once: blocks of data of one slab whose journal has room
  /// for them. Nothing, or what does not join them, ends it. Returns how many; none if that slab
  /// has to be waited for, or frees.
  template <class F>
  std::size_t gather_run(std::span<BlockMapping> run, F&& mapping_of) const {
    const std::size_t most = std::min(
        {run.size(), kMostDropped, most_frees_ - std::min(most_frees_, pending_frees_.records())});
    std::size_t count = 0;
    Pbn start;
    Pbn end;
    for (; count < most; ++count) {
      const std::optional<BlockMapping> mapping = mapping_of(count);
      if (!mapping || !mapping->valid()) break;
      if (count == 0) {
        if (!layout_.is_data_block(mapping->pbn)) return 0;
        start = layout_.slab_start(layout_.slab_of(mapping->pbn));
        end = start + layout_.data_blocks();
      }
      if (mapping->pbn < start || mapping->pbn >= end) break;
      run[count] = *mapping;
    }
    return count > 0 && slab_of(start).has_room(count) ? count : 0;
  }
  /// change() with a decrement for each of `mappings`, as gather_run() found them, whose recovery
  /// journal entries follow each other from `point` on.
  Result<void> drop(std::span<const BlockMapping> mappings, JournalPoint point);
  /// Lets the processor fetch what a change of this block's count touches: first its slab, then
  /// what is found by way of that. Both are for many blocks before either is used.
  void prefetch_slab(Pbn pbn) const { slab_of(pbn).prefetch_itself(); }
  void prefetch_change(Pbn pbn) const {
    slab_of(pbn).prefetch_change(layout_.sbn_of(pbn));
    pending_frees_.prefetch(pbn);
  }
  ReadEpochs& epochs() { return epochs_; }

  // ---- writing (slab_writer.cpp)

  /// Writes slab journal blocks that are full, or that hold a recovery journal block before
  /// `release_before`; then reference blocks of slabs whose journals run full.
  Task<Result<void>> write_back(JournalSequence release_before);
  /// Whether write_back() has something to do for the sake of the slab journals.
  [[nodiscard]] bool needs_write_back() const { return needs_write_back_; }
  void on_write_back_needed(std::function<void()> f) { on_write_back_needed_ = std::move(f); }
  /// Writes everything; the summary says clean for all slabs. Nothing may change meanwhile.
  Task<Result<void>> save();
  /// What was saved, and a flush has covered, is used further.
  void continue_after_save();

  // ---- growing (slab_growth.cpp, behaviour.md, 12)

  /// Keeps everybody else from writing slabs and the summary until grow() or give_up_growth(), and
  /// makes the new slabs, which nobody knows yet; `reserved` is given back for their tables.
  Task<void> begin_growth(const SuperBlock& grown, PageMemory reserved);
  /// Writes the summary of the larger depot to its new place. The old one stays as it is.
  Task<Result<void>> write_grown_summary(const SuperBlock& grown);
  /// The volume is what `grown` says: its new slabs are empty and can be used at once.
  void grow(const SuperBlock& grown);
  void give_up_growth();

  // ---- figures

  [[nodiscard]] SlabNumber slab_count() const { return static_cast<SlabNumber>(slabs_.size()); }
  [[nodiscard]] Slab& slab(SlabNumber number) { return *slabs_[number]; }
  [[nodiscard]] const Slab& slab(SlabNumber number) const { return *slabs_[number]; }
  [[nodiscard]] SlabNumber unscrubbed() const { return unscrubbed_; }
  /// The newest point of the recovery journal, expanded, that the journals of slabs have come to.
  [[nodiscard]] JournalPoint newest_recovery_point() const {
    JournalPoint newest;
    for (const auto& slab : slabs_) newest = std::max(newest, slab->recovery_point());
    return newest;
  }
  /// Blocks with a reference or a provisional one, block map pages included.
  [[nodiscard]] std::uint64_t allocated_blocks() const;
  /// The most of them at once since the last call, where all slabs are ready.
  std::uint64_t take_peak_allocated();
  [[nodiscard]] const DepotStatistics& counters() const { return counters_; }
  /// Aborts if what is known of the slabs contradicts itself, or what is known of each of them. To
  /// be called from outside of the depot, where it has come to a halt; takes some work for each
  /// slab.
  void check_invariants() const;
  /// Bytes of memory that the tables of so many slabs take.
  [[nodiscard]] static std::uint64_t tables_of(const SlabConfig& config, std::uint64_t slabs) {
    return slabs * SlabMemory::bytes_of_slab(config);
  }
  /// Bytes of memory that slabs like this take when all are in use, with the journal
  /// block that each is filling.
  [[nodiscard]] static std::uint64_t memory_needed(const SlabConfig& config, std::uint64_t slabs) {
    return slabs * (SlabMemory::bytes_of_slab(config) + kBlockSize + sizeof(Slab) +
                    sizeof(SlabJournalBlock));
  }

 private:
  /// Of the slabs that are ready: promised blocks count, and those that are about to become free.
  [[nodiscard]] std::uint64_t unallocated() const {
    return free_blocks_ + promised_ + pending_frees_.size() + claimed_blocks_;
  }
  void note_allocation() { least_unallocated_ = std::min(least_unallocated_, unallocated()); }

  static constexpr std::size_t kMostDropped = kEntriesPerBlock;
  // Full slab journal blocks that gather before they are written, so that they share the flushes;
  // the fewer if one slab needs room.
  static constexpr std::size_t kMostClosed = 256;
  static constexpr std::size_t kClosedBlocksPerPass = 32;

  // Blocks become free together: the count of the one so far behind is fetched meanwhile, and twice
  // as far behind what knows where it is.
  static constexpr std::size_t kFreesAhead = 8;
  // Records of them, of up to 64 blocks, that nobody has to wait for become free in one call: a
  // discard of many gigabytes leaves millions of blocks.
  static constexpr std::size_t kFreesAtOnce = 128;

  [[nodiscard]] Slab& slab_of(Pbn pbn) const { return *slabs_[layout_.slab_of(pbn)]; }
  void note_closed(const Slab& slab, SlabSequence open);
  bool open_next_slab();
  void became_ready(Slab& slab);
  void request_write_back();

  /// What is found out about a slab while it is scrubbed.
  struct Scrubbing {
    std::span<ReferenceCount> counts;
    std::vector<JournalPoint> points;        // by sector: up to where its counts are right
    std::vector<bool> changed;               // by reference block
    std::vector<std::uint64_t> decremented;  // a bit for each data block
    bool has_decrements = false;
  };

  static constexpr std::size_t kReferenceBatch = 64;

  /// The readers whose end the oldest blocks wait for. Needs !pending_frees_.empty().
  [[nodiscard]] ReadEpochs::Epoch oldest_readers() const {
    const ReadEpochs::Epoch epoch = pending_frees_.oldest_epoch();
    return faults_.is_on(Fault::room_joined_by_later_readers) ? epoch + 1 : epoch;
  }

  std::unique_ptr<Slab> make_slab(const SlabMemory& memory, SlabNumber index, SlabNumber first);
  /// Takes them among the others.
  void add_slabs(std::vector<std::unique_ptr<Slab>> slabs);

  // Of the loader (slab_loader.cpp). `state` is what the scrub under way has found out so far.
  Task<Result<void>> load_tail(Slab& slab);
  Task<Result<void>> scrub(Slab& slab);
  Task<Result<void>> scrub_alone(Slab& slab);
  Task<Result<void>> read_counts(Slab& slab, Scrubbing& state);
  Task<Result<void>> replay_journal(Slab& slab, Scrubbing& state);
  Result<void> replay_entry(const Slab& slab, Scrubbing& state, JournalPoint point,
                            SlabJournalEntry entry) const;
  Result<void> replay_unnamed(const Slab& slab, Scrubbing& state) const;
  void hold_freed(const Slab& slab, Scrubbing& state);
  Task<Result<void>> write_scrubbed(Slab& slab, bool was_dirty);

  /// Writes what is closed of the slabs in to_write_, which is used up.
  Task<Result<void>> write_journals();
  Task<Result<void>> write_references(Slab& slab, SlabSequence limit);
  Task<Result<void>> relieve(Slab& slab);
  Task<Result<void>> save_slabs();
  Task<Result<void>> write_summary(std::span<Slab* const> slabs);
  Task<Result<void>> write_summary(Slab& slab);
  void fill_unused_summary(SlabNumber first);
  Task<Result<void>> write_whole_summary(Pbn start);
  Task<Result<void>> finish(Result<void> done);

  Executor& executor_;
  PbnDevice device_;
  RecoveryJournal& journal_;
  ReadOnlyNotifier& notifier_;
  [[no_unique_address]] FaultPoints faults_;
  SlabLayout layout_;
  SlabConfig config_;
  std::uint64_t nonce_;
  Pbn summary_start_;
  SlabJournalMemory journal_memory_;
  std::vector<SlabMemory> slab_memory_;
  std::vector<std::unique_ptr<Slab>> slabs_;
  std::vector<std::unique_ptr<Slab>> grown_slabs_;  // between begin_growth() and its end
  SlabNumber unscrubbed_ = 0;

  SlabNumber open_slab_ = 0;
  bool has_open_slab_ = false;
  std::uint64_t free_blocks_ = 0;
  std::uint64_t promised_ = 0;
  std::uint64_t least_unallocated_ = 0;  ///< since take_peak_allocated()
  std::uint64_t claimed_runs_ = 0;       // of claim_run(), and their blocks
  std::uint64_t claimed_blocks_ = 0;
  std::uint64_t released_blocks_ = 0;
  WaitQueue given_back_;
  WaitQueue promises_changed_;
  std::uint32_t seekers_ = 0;  // who waits there
  std::size_t most_frees_;
  std::size_t most_closed_;
  PendingFrees pending_frees_;
  struct Watch {
    std::uint32_t users = 0;
    bool freed = false;
  };
  FlatMap<Watch> watched_;
  ReadEpochs epochs_;

  AlignedMemory summary_;  // the four blocks of one area
  Semaphore writer_;       // one write_back or save at a time
  // Of who has writer_:
  AlignedMemory reference_memory_;
  Scrubbing scrubbing_;
  std::vector<Slab*> to_write_;
  std::vector<std::size_t> to_write_counts_;
  bool summary_is_at_risk_ = false;  // it was written, and no flush has followed
  WaitQueue room_;
  WaitQueue readers_ended_;
  std::size_t closed_blocks_ = 0;
  bool needs_write_back_ = false;
  std::function<void()> on_write_back_needed_;
  DepotStatistics counters_;
};

}  // namespace uvdo
