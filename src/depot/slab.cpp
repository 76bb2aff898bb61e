// SPDX-License-Identifier: GPL-2.0-or-later
#include "depot/slab.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include <fmt/core.h>

#include "base/bytes.h"

namespace uvdo {
namespace {

/// As std::count() for kFree, but eight at a time: a volume of many terabytes has billions.
std::uint64_t count_free(std::span<const ReferenceCount> counts) {
  static_assert(kFree == 0);
  constexpr std::uint64_t kLow = 0x7F7F7F7F7F7F7F7F;
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  std::uint64_t free = 0;
  while (counts.size() >= sizeof(std::uint64_t)) {
    const std::uint64_t eight = load_le64(reinterpret_cast<const std::byte*>(counts.data()));
    // 0x80 in each byte that is 0, nothing in the others; then 1, and all of them added up.
    const std::uint64_t zeros = ~(((eight & kLow) + kLow) | eight | kLow);
    free += ((zeros >> 7U) * kOnes) >> 56U;
    counts = counts.subspan(sizeof(std::uint64_t));
  }
  return free + static_cast<std::uint64_t>(std::count(counts.begin(), counts.end(), kFree));
}

}  // namespace

void Slab::load_pristine() {
  state_ = State::ready;
  free_blocks_ = config_.data_blocks;
}

std::span<ReferenceCount> Slab::counts_to_load() {
  use();
  return counts_;
}

void Slab::load_counts() {
  free_blocks_ = count_free(counts_);
  state_ = State::ready;
}

void Slab::load_journal(SlabSequence head, SlabSequence next, JournalPoint point,
                        JournalPoint recovery_point) {
  ring_.load(head, next);
  last_point_ = point;
  header_.recovery_point = recovery_point;
}

void Slab::use() {
  if (is_used_) return;
  is_used_ = true;
  std::uninitialized_value_construct(references_.begin(), references_.end());
}

void Slab::dirty_all_reference_blocks() {
  use();
  for (std::uint32_t i = 0; i < references_.size(); ++i) mark_dirty(i * kCountsPerBlock);
}

void Slab::dirty_reference_block(std::uint32_t index) {
  use();
  mark_dirty(index * kCountsPerBlock);
}

/// Searches forward only, so that neighbours are handed out one after the other: what is freed
/// before the cursor waits for rewind().
std::optional<Slab::Run> Slab::allocate(std::uint32_t wanted) {
  if (!is_ready() || free_blocks_ == 0) return std::nullopt;
  use();
  const ReferenceCount* begin = counts_.data();
  const ReferenceCount* end = begin + counts_.size();
  const auto* found = static_cast<const ReferenceCount*>(
      std::memchr(begin + cursor_, kFree, static_cast<std::size_t>(end - begin) - cursor_));
  if (found == nullptr) {
    cursor_ = static_cast<Sbn>(config_.data_blocks);
    return std::nullopt;
  }
  const auto first = static_cast<Sbn>(found - begin);
  Run run{first, 0};
  while (run.count < wanted && first + run.count < counts_.size() &&
         counts_[first + run.count] == kFree) {
    counts_[first + run.count] = kProvisional;
    ++run.count;
  }
  cursor_ = first + run.count;
  free_blocks_ -= run.count;
  return run;
}

/// Anywhere in the slab, whatever the cursor.
bool Slab::claim_free(Sbn sbn) {
  if (!is_ready() || count(sbn) != kFree) return false;
  use();
  counts_[sbn] = kProvisional;
  --free_blocks_;
  return true;
}

std::optional<Slab::Run> Slab::claim_run(Sbn begin, Sbn end, std::uint32_t most) {
  end = std::min(end, static_cast<Sbn>(config_.data_blocks));
  if (!is_ready() || !is_used_ || free_blocks_ == 0 || begin >= end || most == 0) {
    return std::nullopt;
  }
  const auto* found =
      static_cast<const ReferenceCount*>(std::memchr(&counts_[begin], kFree, end - begin));
  if (found == nullptr) return std::nullopt;
  Run run{static_cast<Sbn>(found - counts_.data()), 0};
  while (run.count < most && run.first + run.count < end &&
         counts_[run.first + run.count] == kFree) {
    counts_[run.first + run.count] = kProvisional;
    ++run.count;
  }
  free_blocks_ -= run.count;
  return run;
}

void Slab::give_back(Run run) {
  for (Sbn sbn = run.first; sbn < run.first + run.count; ++sbn) {
    check(count(sbn) == kProvisional, "a block was given back that is not provisional");
    counts_[sbn] = kFree;
  }
  free_blocks_ += run.count;
}

std::optional<Slab::Run> Slab::take_freed_areas(Sbn begin) {
  if (!is_ready() || !is_used_) return std::nullopt;
  const auto end = static_cast<Sbn>(config_.data_blocks);
  Sbn first = begin / kFreedAreaBlocks * kFreedAreaBlocks;
  while (first < end && !is_freed_area(first)) {
    // A word without any is passed over as a whole.
    const bool is_empty = freed_[word_of(first)] == 0;
    constexpr Sbn kWord = kFreedAreaBlocks * 64;
    first = is_empty ? (first / kWord + 1) * kWord : first + kFreedAreaBlocks;
  }
  if (first >= end) return std::nullopt;
  Run areas{first, 0};
  for (Sbn at = first; at < end && is_freed_area(at); at += kFreedAreaBlocks) {
    freed_[word_of(at)] &= ~bit_of(at);
    areas.count += kFreedAreaBlocks;
  }
  return areas;
}

void Slab::open_block() {
  header_.sequence = ring_.next();
  header_.nonce = nonce_;
  // The recovery point of the block before is carried on (volume.md, 5.2).
  header_.has_block_map_increments = false;
  header_.entry_count = 0;
  open_ = &journal_memory_.take();
}

/// The block keeps a copy of the header; header_ stays, so that the next block carries the recovery
/// point on.
void Slab::close_open_block() {
  check(has_open_entries(), "an empty slab journal block was closed");
  open_->header = header_;
  open_->last_entry = last_entry_;
  open_->first_lock = open_lock_;
  (closed_ != nullptr ? last_closed_->next : closed_) = open_;
  last_closed_ = open_;
  open_ = nullptr;
  ring_.block_was_closed();
}

void Slab::drop_closed_block() {
  SlabJournalBlock& oldest = *closed_;
  closed_ = oldest.next;
  journal_memory_.give(oldest);
}

/// Sees to it that the open block takes one more entry; `point` is that of the recovery journal.
void Slab::prepare_block(ReferenceOperation operation, JournalPoint point,
                         RecoveryJournal& journal) {
  if (open_ != nullptr && !uvdo::has_room(header_, operation)) close_open_block();
  if (open_ != nullptr) return;
  open_block();
  open_lock_ = JournalSequence{point.sequence};
  journal.lock(RecoveryJournal::Head::slab_journal, open_lock_);
}

/// Journals only; counts are the caller's business, or the scrub's.
void Slab::append(Sbn sbn, ReferenceOperation operation, JournalPoint point,
                  RecoveryJournal& journal) {
  prepare_block(operation, point, journal);
  const JournalPoint expanded = operation == ReferenceOperation::data_decrement
                                    ? point.expanded_decrement()
                                    : point.expanded_increment();
  // The entry's index is the number of entries before it.
  last_point_ = {ring_.next().value(), header_.entry_count};
  append_slab_journal_entry(open_->bytes, header_, {sbn, operation}, expanded);
  last_entry_ = point;
}

/// A full open block is going to be closed, so that it is the next but one whose place is needed.
void Slab::append_recovered(Sbn sbn, ReferenceOperation operation, JournalPoint point,
                            RecoveryJournal& journal) {
  if (open_ == nullptr || !uvdo::has_room(header_, operation)) {
    ring_.take_place_of(ring_.next() + (open_ == nullptr ? 0 : 1));
  }
  append(sbn, operation, point, journal);
}

Result<void> Slab::change_count(std::span<ReferenceCount> counts, Sbn sbn,
                                ReferenceOperation operation) {
  ReferenceCount& count = counts[sbn];
  const auto refuse = [&](const char* what) {
    return Error(Errc::corrupt,
                 fmt::format("reference count {} of block {} cannot be {}", count, sbn, what));
  };
  // A provisional block has no reference yet (volume.md, 5.1).
  const ReferenceCount real = count == kProvisional ? kFree : count;
  switch (operation) {
    case ReferenceOperation::data_increment:
      if (real >= kMaxReferences) return refuse("incremented");
      count = static_cast<ReferenceCount>(real + 1);
      return {};
    case ReferenceOperation::data_decrement:
      if (real == 0) return refuse("decremented");
      count = static_cast<ReferenceCount>(real - 1);
      return {};
    case ReferenceOperation::block_map_increment:
      if (real != 0) return refuse("given to the block map");
      count = kMaxReferences;
      return {};
    case ReferenceOperation::block_map_decrement: break;
  }
  return refuse("taken from the block map");
}

/// First the entry, then the count (behaviour.md, 5.1): begin_dirty() takes the entry's block as
/// the one that the reference block holds.
Result<bool> Slab::apply(Sbn sbn, ReferenceOperation operation, JournalPoint point,
                         RecoveryJournal& journal) {
  const bool is_first = is_journal_unused();
  append(sbn, operation, point, journal);
  // Counts that are not known change when the journal is replayed (behaviour.md, 8).
  if (!is_ready()) return false;
  use();
  // So that "counts are on disk" is true as soon as the first block is given up.
  if (is_first) dirty_all_reference_blocks();
  const bool was_free = counts_[sbn] == kFree;
  if (auto changed = change_count(counts_, sbn, operation); !changed) {
    return std::move(changed).error().within(fmt::format("slab {}", number_));
  }
  if (was_free) --free_blocks_;
  mark_dirty(sbn);
  // The last reference is gone. It is not free before the caller says so: provisional until then.
  if (counts_[sbn] != kFree) return false;
  counts_[sbn] = kProvisional;
  return true;
}

Result<std::size_t> Slab::drop(std::span<const Sbn> blocks, JournalPoint point,
                               RecoveryJournal& journal, std::span<std::uint16_t> freed) {
  std::size_t freed_count = 0;
  // Round by round, as much as the open journal block takes: two of them at most.
  for (std::size_t begin = 0; begin < blocks.size();) {
    const bool is_first = is_journal_unused();
    prepare_block(ReferenceOperation::data_decrement, point, journal);
    const std::size_t count = std::min<std::size_t>(
        blocks.size() - begin,
        slab_journal_capacity(header_.has_block_map_increments) - std::size_t{header_.entry_count});
    // From here on `point` is that of the first entry of the next round.
    point.entry_count = static_cast<std::uint16_t>(point.entry_count + count);
    last_entry_ = {point.sequence, static_cast<std::uint16_t>(point.entry_count - 1)};
    append_slab_journal_decrements(open_->bytes, header_, blocks.subspan(begin, count),
                                   last_entry_.expanded_decrement());
    last_point_ = {ring_.next().value(), static_cast<std::uint16_t>(header_.entry_count - 1)};
    if (is_ready()) {
      use();
      if (is_first) dirty_all_reference_blocks();
      for (std::size_t i = begin; i < begin + count; ++i) {
        const Sbn sbn = blocks[i];
        ReferenceCount& references = counts_[sbn];
        if (references == kFree || references == kProvisional) {
          auto refused = change_count(counts_, sbn, ReferenceOperation::data_decrement);
          return std::move(refused).error().within(fmt::format("slab {}", number_));
        }
        mark_dirty(sbn);
        if (--references != kFree) continue;
        references = kProvisional;
        freed[freed_count++] = static_cast<std::uint16_t>(i);
      }
    }
    begin += count;
  }
  return freed_count;
}

void Slab::begin_dirty(ReferenceBlock& block) {
  // A slab whose journal is new has no last point: block 1 stands for it.
  block.dirty_since = SlabSequence{std::max<std::uint64_t>(last_point_.sequence, 1)};
  ++holds_[ring_.place_of(block.dirty_since)];
  ++dirty_count_;
}

/// Closed blocks are older than the open one, and entries only get newer.
std::optional<JournalSequence> Slab::oldest_lock() const {
  if (has_closed()) return closed_->first_lock;
  if (has_open_entries()) return open_lock_;
  return std::nullopt;
}

/// A block with no dirty reference block behind it has nothing that the counts on disk lack.
void Slab::reap() {
  ring_.give_up(
      [this](SlabSequence block) { return is_used_ && holds_[ring_.place_of(block)] > 0; });
}

std::optional<Slab::ReferenceWrite> Slab::begin_write(SlabSequence limit, MutableBytes out) {
  if (!is_used_) return std::nullopt;
  for (std::uint32_t n = 0; n < references_.size(); ++n) {
    const std::uint32_t index =
        // From where the last search ended, so that all get their turn.
        (write_cursor_ + n) % static_cast<std::uint32_t>(references_.size());
    ReferenceBlock& block = references_[index];
    if (block.dirty_since == SlabSequence{0} || block.dirty_since >= limit || block.writing) {
      continue;
    }
    const std::size_t first = std::size_t{index} * kCountsPerBlock;
    const std::size_t count = std::min<std::size_t>(kCountsPerBlock, counts_.size() - first);
    // All changes up to the slab's latest are in these counts, so its point is the commit point of
    // all sectors (behaviour.md, 5.3).
    pack_reference_block(out, counts_.subspan(first, count), last_point_);
    const ReferenceWrite write{index, block.dirty_since};
    // The hold on the journal block stays until end_write(): the copy is not on the disk yet.
    block.dirty_since = SlabSequence{0};
    block.writing = true;
    --dirty_count_;
    ++writing_count_;
    write_cursor_ = index + 1;
    return write;
  }
  return std::nullopt;
}

void Slab::end_write(const ReferenceWrite& write) {
  references_[write.index].writing = false;
  --writing_count_;
  --holds_[ring_.place_of(write.held)];
}

void Slab::check_invariants() const {
  ring_.check_invariants();
  SlabSequence sequence = ring_.named();
  for (const SlabJournalBlock* block = closed_; block != nullptr; block = block->next, ++sequence) {
    check(block->header.sequence == sequence, "closed slab journal blocks follow each other");
  }
  check(sequence == ring_.next(), "slab journal blocks in memory are those that are not named");
  check(open_ == nullptr || header_.sequence == ring_.next(),
        "the open slab journal block is next");
  check(free_blocks_ <= config_.data_blocks, "a slab has no more free blocks than blocks");
  if (!is_used_) {
    check(dirty_count_ == 0 && writing_count_ == 0, "an unused slab has nothing to write");
    return;
  }
  const auto is_dirty = [](const ReferenceBlock& b) { return b.dirty_since != SlabSequence{0}; };
  const auto is_written = [](const ReferenceBlock& b) { return b.writing; };
  check(std::ranges::count_if(references_, is_dirty) == std::ptrdiff_t{dirty_count_},
        "dirty reference blocks are counted");
  check(std::ranges::count_if(references_, is_written) == std::ptrdiff_t{writing_count_},
        "reference blocks being written are counted");
  std::uint64_t holds = 0;
  for (const std::uint32_t held : holds_) holds += held;
  check(holds == dirty_count_ + writing_count_,
        "each reference block that is to be written holds a slab journal block");
}

}  // namespace uvdo
