// SPDX-License-Identifier: GPL-2.0-or-later
#include "journal/recovery_journal.h"

#include <cstring>

namespace uvdo {
namespace {

/// Blocks that must stay free between tail and head (behaviour.md, 5.3).
std::uint64_t reserve_of(std::uint64_t size) {
  return std::min<std::uint64_t>(size / 4, 2048 / kEntriesPerBlock + 2);
}

}  // namespace

RecoveryJournalConfig journal_config(const SuperBlock& super_block) {
  RecoveryJournalConfig config;
  const Partition ring = super_block.find(PartitionId::recovery_journal);
  config.start = ring.start;
  config.size = ring.blocks;
  config.nonce = super_block.nonce;
  config.recovery_count = super_block.recovery_count();
  config.tail = super_block.journal.journal_start;
  config.logical_blocks_used = super_block.journal.logical_blocks_used;
  config.block_map_blocks = super_block.journal.block_map_blocks;
  return config;
}

RecoveryJournal::RecoveryJournal(Executor& executor, PbnDevice device, ReadOnlyNotifier& notifier,
                                 const RecoveryJournalConfig& config, FaultPoints faults,
                                 MutableBytes memory)
    : device_(device),
      notifier_(notifier),
      faults_(faults),
      config_(config),
      usable_(config.size - reserve_of(config.size)),
      memory_(memory),
      // The block before the tail counts as full and stable, so the first entry opens a block of
      // its own and a commit of nothing has nothing to wait for.
      tail_(config.tail),
      last_point_{config.tail.value() - 1, kEntriesPerBlock - 1},
      committed_(last_point_),
      commits_(executor),
      locks_{std::vector<std::uint32_t>(config.size), std::vector<std::uint32_t>(config.size)},
      heads_{config.tail, config.tail},
      durable_heads_(heads_),
      recorded_head_(config.tail),
      logical_blocks_used_(config.logical_blocks_used),
      block_map_blocks_(config.block_map_blocks) {
  for (std::size_t i = kBuffers; i-- > 0;) free_buffers_.push_back(i);
  writing_.reserve(kBuffers);
  unwritten_.reserve(kBuffers);
  note_heads();
  memory_.set_written(committed_);
}

void RecoveryJournal::take_over(JournalSequence block_map_head, JournalSequence slab_journal_head,
                                JournalSequence head_on_disk) {
  check(!open_ && unwritten_.empty(), "a journal is taken over after its first entry");
  heads_ = durable_heads_ = {block_map_head, slab_journal_head};
  recorded_head_ = head_on_disk;
  // Nothing in this process knows what the blocks are needed for: the heads stay.
  for (const Head head : {Head::block_map, Head::slab_journal}) lock(head, heads_[index_of(head)]);
  note_heads();
  open_block();  // it had room there
}

/// The open block, if there is one, is full and goes to those that wait for a commit. The header
/// keeps the counters of this moment, from before the first entry (volume.md, 7): a recovery adds
/// to them what the entries of the last block say, and of no other (behaviour.md, 17).
void RecoveryJournal::open_block() {
  if (open_) {
    unwritten_.push_back({tail_, open_buffer_});
    ++tail_;
  }
  check(tail_.value() < (1ULL << 48U), "recovery journal sequence number overflow");
  open_ = true;
  open_entries_ = 0;
  open_entries_taken_ = 0;
  open_buffer_ = free_buffers_.back();
  free_buffers_.pop_back();
  open_check_byte_ = check_byte_of(tail_, config_.size);
  JournalBlockHeader header;
  header.sequence = tail_;
  header.nonce = config_.nonce;
  header.logical_blocks_used = logical_blocks_used_;
  header.block_map_blocks = block_map_blocks_;
  header.check_byte = open_check_byte_;
  header.recovery_count = config_.recovery_count;
  open_journal_block({buffer(open_buffer_), kBlockSize}, header);
  memory_.set_entries(open_buffer_, tail_, 0);
}

JournalPoint RecoveryJournal::add(const JournalEntry& entry) {
  if (!open_ || open_entries_ == kEntriesPerBlock) {
    check(has_room(), "an entry was added to a full recovery journal");
    open_block();
  }
  // The block is laid out as it is written, so that a commit has nothing to encode.
  append_journal_entry({buffer(open_buffer_), kBlockSize}, open_entries_, entry, open_check_byte_,
                       config_.recovery_count);
  last_point_ = {tail_.value(), static_cast<std::uint16_t>(open_entries_)};
  ++open_entries_;
  memory_.set_entries(open_buffer_, tail_, open_entries_);
  ++counters_.entries.started;
  if (entry.operation == JournalOperation::block_map_remapping) {
    ++block_map_blocks_;
  } else {
    logical_blocks_used_ += entry.new_mapping.is_mapped() ? 1U : 0U;
    logical_blocks_used_ -= entry.old_mapping.is_mapped() ? 1U : 0U;
  }
  return last_point_;
}

JournalPoint RecoveryJournal::add_run(Pbn page, unsigned slot, std::span<const BlockMapping> old,
                                      BlockMapping mapping) {
  const auto count = static_cast<unsigned>(old.size());
  check(count > 0 && count <= room_in_block(), "a run of entries does not fit into a block");
  if (!open_ || open_entries_ == kEntriesPerBlock) open_block();
  append_journal_run(
      {buffer(open_buffer_), kBlockSize}, open_entries_,
      {JournalOperation::data_remapping, page, static_cast<std::uint16_t>(slot), mapping, {}}, old,
      open_check_byte_, config_.recovery_count);
  const JournalPoint first{tail_.value(), static_cast<std::uint16_t>(open_entries_)};
  open_entries_ += count;
  memory_.set_entries(open_buffer_, tail_, open_entries_);
  last_point_ = {tail_.value(), static_cast<std::uint16_t>(open_entries_ - 1)};
  counters_.entries.started += count;
  logical_blocks_used_ += mapping.is_mapped() ? count : 0U;
  logical_blocks_used_ -= count;
  return first;
}

Task<void> RecoveryJournal::wait_for_room() {
  if (has_room() || notifier_.is_read_only()) co_return;
  // Two things can be short. Memory for blocks comes back with a commit; room in the ring only with
  // heads that advance, for which others have to write pages and slab journals.
  if (unwritten_blocks() >= kMaxUnwrittenBlocks) {
    if (committing_) {
      co_await commits_.wait();
    } else {
      [[maybe_unused]] const auto ignored =
          co_await commit_all();  // a failure is seen by the caller
    }
    co_return;
  }
  ++counters_.disk_full;
  if (on_full_) on_full_();
  co_await commits_.wait();
}

/// One commit runs at a time. Whoever comes meanwhile waits for it and looks again, since it need
/// not cover his entry; the first of those makes the next one, for all.
Task<Result<void>> RecoveryJournal::commit(JournalPoint point) {
  while (!is_committed(point)) {
    if (notifier_.is_read_only()) co_return notifier_.error();
    if (committing_) {
      co_await commits_.wait();
      continue;
    }
    auto committed = co_await commit_once(false);
    if (!committed) co_return committed;
  }
  co_return Result<void>();
}

/// A commit without blocks: what the heads rest on becomes stable, and the room before them is
/// free.
Task<Result<void>> RecoveryJournal::reap() {
  while (committing_) co_await commits_.wait();
  if (notifier_.is_read_only()) co_return notifier_.error();
  co_return co_await commit_once(true);
}

/// Moves each head over the blocks that nobody holds. In memory only: room is given back when a
/// flush has made stable what the blocks were held for.
void RecoveryJournal::advance_heads() {
  // Only blocks that are full and written can be given up.
  const std::uint64_t written = committed_.entry_count == kEntriesPerBlock - 1U
                                    ? committed_.sequence
                                    : committed_.sequence - 1;
  for (const Head which : {Head::block_map, Head::slab_journal}) {
    JournalSequence& head = heads_[index_of(which)];
    const bool all = which == Head::block_map && faults_.is_on(Fault::journal_head_ignores_pages);
    while (head.value() <= written && (all || locks_of(which, head) == 0)) ++head;
  }
}

void RecoveryJournal::unlock(Head head, JournalSequence sequence) {
  std::uint32_t& locks = locks_of(head, sequence);
  check(locks > 0, "a recovery journal block was unlocked once too often");
  --locks;
}

/// Needs !committing_. In this order: takes the full blocks and a copy of the open one, so that
/// entries are added meanwhile; notes the heads; flushes, which makes the data of the entries
/// stable and what the heads rest on; writes the blocks with those heads, forced to the medium;
/// wakes all. An error of either leaves the volume read-only, as nobody can tell what of it is on
/// the disk.
Task<Result<void>> RecoveryJournal::commit_once(bool only_reap) {
  committing_ = true;
  JournalPoint target = committed_;
  if (!only_reap) {
    while (!unwritten_.empty()) {
      writing_.push_back(unwritten_.front());
      unwritten_.pop_front();
    }
    // Entries that are added from here on are for the next commit: what is written of the open
    // block is a copy, and its count of entries is that of now.
    target = last_point_;
    if (open_ && open_entries_ > 0) {
      const std::size_t copy = free_buffers_.back();
      free_buffers_.pop_back();
      std::memcpy(buffer(copy), buffer(open_buffer_), kBlockSize);
      open_entries_taken_ = open_entries_;
      writing_.push_back({tail_, copy});
    }
    counters_.entries.written = counters_.entries.started;
    counters_.blocks.written += writing_.size();
  }
  // What the heads rest on was written before this flush, and so were the data of the entries.
  advance_heads();
  auto heads = heads_;
  // A block that got full when a copy of it was on its way is written once more. It does not say of
  // itself that nobody needs it: no head is behind all that is there.
  if (!writing_.empty()) {
    for (JournalSequence& head : heads) head = std::min(head, writing_.front().sequence);
  }
  const std::uint64_t entries = counters_.entries.started;
  const unsigned open_entries = open_entries_;
  const bool has_open = !only_reap && open_ && open_entries > 0;
  ++counters_.flushes;
  Result<void> done;
  if (!faults_.is_on(Fault::journal_without_flush)) done = co_await device_.flush();
  if (done) {
    // The flush has made stable what the heads rest on: the room before them may be used again.
    durable_heads_ = heads;
    note_heads();
    for (std::size_t i = 0; i < writing_.size(); ++i) {
      const bool is_open = has_open && i + 1 == writing_.size();
      set_journal_header_heads_and_count(
          {buffer(writing_[i].buffer), kBlockSize}, heads[index_of(Head::block_map)],
          heads[index_of(Head::slab_journal)],
          static_cast<std::uint16_t>(is_open ? open_entries : kEntriesPerBlock));
    }
    for (std::size_t i = 0; done && i < writing_.size();) {
      // A run ends at the end of the ring, and before it overwrites what a recovery would need as
      // long as the new heads are in none of the blocks on disk.
      const std::uint64_t at = writing_[i].sequence.value() % config_.size;
      const std::uint64_t before_needed = recorded_head_ + config_.size - writing_[i].sequence;
      std::size_t count = std::min<std::size_t>(
          {writing_.size() - i, kBlocksPerWrite, config_.size - at, before_needed});
      // A block that is not full goes when all before it are stable, so that whoever finds it knows
      // that they were (JournalExtent::add).
      const bool has_last = has_open && open_entries < kEntriesPerBlock;
      if (has_last && count > 1 && i + count == writing_.size()) --count;
      check(count > 0, "a recovery journal block would overwrite one that is needed");
      done = co_await write(std::span(writing_).subspan(i, count));
      if (done) recorded_head_ = std::min(heads[0], heads[1]);
      note_heads();
      i += count;
    }
  }
  if (done) {
    counters_.blocks.committed += writing_.size();
    if (!only_reap) counters_.entries.committed = entries;
    // Blocks were stable one run after the other, but nobody is told before all of them are.
    committed_ = std::max(committed_, target);
    memory_.set_written(committed_);
    for (const UnwrittenBlock& block : writing_) memory_.forget(block.buffer);
  } else {
    notifier_.enter(done.error().within("writing the recovery journal"));
  }
  for (const UnwrittenBlock& block : writing_) free_buffers_.push_back(block.buffer);
  writing_.clear();
  committing_ = false;
  commits_.wake_all();
  co_return done;
}

/// Blocks that follow each other in the ring, in one request. FUA: it ends when they are on the
/// medium (behaviour.md, 5.2); the flush before it has come for all runs of the commit.
Task<Result<void>> RecoveryJournal::write(std::span<const UnwrittenBlock> blocks) {
  std::array<iovec, kBlocksPerWrite> slices{};
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    slices[i] = {buffer(blocks[i].buffer), kBlockSize};
  }
  const std::uint64_t at = blocks.front().sequence.value() % config_.size;
  co_return co_await device_.writev(config_.start + at, std::span(slices).first(blocks.size()),
                                    Durability::fua);
}

// A move takes the place of a commit: whoever wants one waits until end_move().
// The ring is copied meanwhile, and a block that was written behind the copy's back would be lost.
Task<void> RecoveryJournal::begin_move() {
  while (committing_) co_await commits_.wait();
  committing_ = true;
}

void RecoveryJournal::end_move(Pbn start) {
  config_.start = start;
  committing_ = false;
  commits_.wake_all();
}

JournalSequence RecoveryJournal::close_block() {
  check(is_committed(last_point_), "a journal is closed with entries that are not committed");
  if (open_) {
    free_buffers_.push_back(open_buffer_);
    memory_.forget(open_buffer_);
    open_ = false;
    open_entries_ = kEntriesPerBlock;
    ++tail_;
    // The unused rest of the block counts as written: nothing will be added to it.
    committed_ = last_point_ = {tail_.value() - 1, kEntriesPerBlock - 1};
    memory_.set_written(committed_);
  }
  return tail_;
}

void RecoveryJournal::check_invariants() const {
  for (std::size_t i = 0; i < heads_.size(); ++i) {
    check(durable_heads_[i] <= heads_[i], "a journal head is durable before it is one");
    check(heads_[i] <= tail_ + (open_entries_ == kEntriesPerBlock ? 1 : 0),
          "a journal head is at most behind the open block, if that is full");
  }
  check(recorded_head_ <= durable_head(), "a recovery begins where it may");
  // Blocks that are not written yet may reach further, when a reap has given room back.
  check(committed_.sequence < recorded_head_.value() + config_.size,
        "what a recovery needs has not been overwritten");
  check(committed_ <= last_point_, "only entries that were added are committed");
  check(last_point_.sequence <= tail_.value(), "the last entry is in the open block or before it");
  check(open_entries_ <= kEntriesPerBlock, "a journal block has a bounded number of entries");
  check(free_buffers_.size() + unwritten_blocks() + (open_ ? 1 : 0) == kBuffers,
        "each buffer of the journal has one use");
}

}  // namespace uvdo
