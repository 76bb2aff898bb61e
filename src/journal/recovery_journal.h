// SPDX-License-Identifier: GPL-2.0-or-later
// The recovery journal of a volume in use: every change of the block map and of reference counts
// is an entry here before it may be anywhere else on disk (behaviour.md, 5.2 and 5.3).
//
// In memory a change counts as soon as its entry has been added. What may be written when follows
// from the entry's point: whoever writes something that depends on an entry awaits
// commit(point) first. Commits are shared: one flush and one write serve all who wait.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "async/executor.h"
#include "async/wait_queue.h"
#include "base/block_types.h"
#include "base/fault_points.h"
#include "base/ring_queue.h"
#include "device/pbn_device.h"
#include "format/journal_extent.h"
#include "format/journal_point.h"
#include "format/recovery_journal_block.h"
#include "format/super_block.h"
#include "journal/journal_memory.h"
#include "journal/read_only_notifier.h"
#include "statistics/part_statistics.h"

namespace uvdo {

/// Where a journal is and where it goes on.
struct RecoveryJournalConfig {
  Pbn start{};             ///< of the partition
  std::uint64_t size = 0;  ///< blocks
  std::uint64_t nonce = 0;
  std::uint8_t recovery_count = 0;
  JournalSequence tail{1};  ///< the first block that will be written
  std::uint64_t logical_blocks_used = 0;
  std::uint64_t block_map_blocks = 0;
};
/// Of a volume that goes on where `super_block` says.
[[nodiscard]] RecoveryJournalConfig journal_config(const SuperBlock& super_block);

/// The ring and what is on its way there. What holds in it:
/// - tail_ is the block being filled; full ones before it wait in unwritten_, then in writing_.
///   What is at or before committed_ is on the medium.
/// - A block of the ring is written over only when it is before both durable heads, and when the
///   blocks on the disk say so themselves (recorded_head_): a recovery begins at the lower of the
///   highest heads that it finds.
/// - Heads move over blocks that are full, stable and locked by nobody.
/// - One commit runs at a time. An error of one ends in read-only mode.
///
/// It belongs to the thread of the metadata, as does all that calls it.
class RecoveryJournal {
 public:
  /// What keeps a journal block from being reused.
  enum class Head : std::uint8_t {
    block_map,     ///< pages whose oldest unwritten entry is in it
    slab_journal,  ///< slab journal blocks, not yet named by a written summary, that begin in it
  };

  /// Nothing is read: the journal begins anew at config.tail. All memory is taken here.
  /// `memory`: JournalMemory::kBytes that outlive the process, if its death is to lose no entry;
  /// empty: memory of its own.
  RecoveryJournal(Executor& executor, PbnDevice device, ReadOnlyNotifier& notifier,
                  const RecoveryJournalConfig& config, FaultPoints faults = {},
                  MutableBytes memory = {});
  RecoveryJournal(const RecoveryJournal&) = delete;
  RecoveryJournal& operator=(const RecoveryJournal&) = delete;

  /// Whether an entry can be added now. It cannot while the ring or the memory for unwritten
  /// blocks is full.
  [[nodiscard]] bool has_room() const {
    if (open_ && open_entries_ < kEntriesPerBlock) return true;
    // The next entry opens the block after the last one.
    return blocks_in_use() + 1 < usable_ && unwritten_blocks() < kMaxUnwrittenBlocks;
  }
  /// Waits for a chance that there is room; the caller looks again.
  Task<void> wait_for_room();

  /// Adds an entry and accounts for it. Needs has_room(). The point names the entry: its block and
  /// its index there.
  JournalPoint add(const JournalEntry& entry);

  /// How many entries fit into the block that the next one goes to; none while !has_room().
  [[nodiscard]] unsigned room_in_block() const {
    if (open_ && open_entries_ < kEntriesPerBlock) return kEntriesPerBlock - open_entries_;
    return has_room() ? kEntriesPerBlock : 0;
  }
  /// Adds an entry for each of `old`, what the slots from `slot` of leaf `page` on were mapped to
  /// (none was unmapped): all of them are `mapping` now. Needs room_in_block() >= old.size() > 0.
  /// The point is that of the first, the others are those behind it.
  JournalPoint add_run(Pbn page, unsigned slot, std::span<const BlockMapping> old,
                       BlockMapping mapping);

  /// Makes the entry at `point`, and all before it, stable. An error means that the volume is
  /// read-only now.
  Task<Result<void>> commit(JournalPoint point);
  /// The same for all entries added so far.
  Task<Result<void>> commit_all() { return commit(last_point_); }
  [[nodiscard]] bool is_committed(JournalPoint point) const { return point <= committed_; }
  [[nodiscard]] JournalPoint last_point() const { return last_point_; }
  [[nodiscard]] JournalPoint committed_point() const { return committed_; }
  /// Woken after each commit and each failure.
  [[nodiscard]] WaitQueue& commits() { return commits_; }
  /// Blocks that are full and wait for a commit.
  [[nodiscard]] std::size_t unwritten_blocks() const { return unwritten_.size() + writing_.size(); }

  /// Keeps block `sequence` (not below the head) until unlock().
  void lock(Head head, JournalSequence sequence) { ++locks_of(head, sequence); }
  void unlock(Head head, JournalSequence sequence);

  /// Blocks from the head to the tail: how full the ring is. (When the open block is full, stable
  /// and given up, the head is behind it.)
  [[nodiscard]] std::uint64_t blocks_in_use() const {
    return durable_head() > tail_ ? 0 : tail_ - durable_head();
  }
  [[nodiscard]] std::uint64_t usable_blocks() const { return usable_; }
  [[nodiscard]] JournalSequence tail() const { return tail_; }
  /// The lower of the two heads that are known to be durable: where a rebuild must start.
  [[nodiscard]] JournalSequence durable_head() const {
    return std::min(durable_heads_[0], durable_heads_[1]);
  }
  [[nodiscard]] JournalSequence head(Head which) const { return heads_[index_of(which)]; }
  /// Makes the heads durable as far as locks allow, so that the ring's room can be used again.
  Task<Result<void>> reap();
  /// Called when writers have to wait because the ring is full: heads must be made to advance.
  void on_full(std::function<void()> f) { on_full_ = std::move(f); }

  /// Holds all writes of the ring back until end_move(): what it has on the disk stays as it is, so
  /// that it can be copied. Entries are added meanwhile as long as there is memory for them.
  Task<void> begin_move();
  /// The ring begins at `start` from now on.
  void end_move(Pbn start);
  /// Goes on with a journal whose blocks from the tail on another process has left unwritten: what
  /// they need begins at these heads. Before the first entry.
  void take_over(JournalSequence block_map_head, JournalSequence slab_journal_head,
                 JournalSequence head_on_disk);

  /// Where the ring is.
  [[nodiscard]] Pbn start() const { return config_.start; }

  /// Ends the use of the open block, so that the next entry starts a new one, and returns its
  /// sequence number: the journal start of a saved volume. Everything must be committed.
  JournalSequence close_block();

  [[nodiscard]] std::uint64_t logical_blocks_used() const { return logical_blocks_used_; }
  [[nodiscard]] std::uint64_t block_map_blocks() const { return block_map_blocks_; }
  [[nodiscard]] const RecoveryJournalStatistics& counters() const { return counters_; }
  /// Aborts if heads and tail, or points, are not in their order, or a buffer is nobody's. Takes
  /// next to no time.
  void check_invariants() const;
  /// Writes of blocks that have been handed to the device, or are due: those that have been
  /// gathering entries since. A block that is written before it is full counts again after that.
  [[nodiscard]] std::uint64_t blocks_started() const {
    const bool is_due = open_ && open_entries_ > open_entries_taken_;
    return counters_.blocks.written + unwritten_.size() + (is_due ? 1U : 0U);
  }

 private:
  // At so many unwritten blocks writers wait for the device.
  static constexpr std::size_t kMaxUnwrittenBlocks = JournalMemory::kMaxUnwrittenBlocks;
  static constexpr std::size_t kBuffers = JournalMemory::kBuffers;
  static constexpr std::size_t kBlocksPerWrite = kJournalBlocksTogether;

  struct UnwrittenBlock {
    JournalSequence sequence;
    std::size_t buffer;
  };

  static constexpr std::size_t index_of(Head head) { return static_cast<std::size_t>(head); }
  std::uint32_t& locks_of(Head head, JournalSequence sequence) {
    return locks_[index_of(head)][sequence.value() % config_.size];
  }
  void open_block();
  /// Moves heads_ as far as locks allow.
  void advance_heads();
  Task<Result<void>> commit_once(bool only_reap);
  Task<Result<void>> write(std::span<const UnwrittenBlock> blocks);
  void note_heads() { memory_.set_heads(durable_heads_[0], durable_heads_[1], recorded_head_); }
  [[nodiscard]] std::byte* buffer(std::size_t index) const { return memory_.block(index); }

  PbnDevice device_;
  ReadOnlyNotifier& notifier_;
  [[no_unique_address]] FaultPoints faults_;
  RecoveryJournalConfig config_;
  std::uint64_t usable_;

  JournalMemory memory_;
  std::vector<std::size_t> free_buffers_;
  RingQueue<UnwrittenBlock> unwritten_;  // full, oldest first
  std::vector<UnwrittenBlock> writing_;  // full, in the commit under way

  JournalSequence tail_;  // the open block, or the next one if there is none
  bool open_ = false;
  std::size_t open_buffer_ = 0;
  unsigned open_entries_ = kEntriesPerBlock;
  unsigned open_entries_taken_ = kEntriesPerBlock;  ///< those of them that a commit has taken
  std::uint8_t open_check_byte_ = 0;

  JournalPoint last_point_;
  JournalPoint committed_;
  bool committing_ = false;
  WaitQueue commits_;
  std::function<void()> on_full_;

  // By head. heads_ are as far as locks allow, durable_heads_ what the last flush has covered.
  std::array<std::vector<std::uint32_t>, 2> locks_;
  std::array<JournalSequence, 2> heads_;
  std::array<JournalSequence, 2> durable_heads_;
  JournalSequence recorded_head_;  // that a recovery now would begin with, from the blocks on disk

  std::uint64_t logical_blocks_used_;
  std::uint64_t block_map_blocks_;
  RecoveryJournalStatistics counters_;
};

}  // namespace uvdo
