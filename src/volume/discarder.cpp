// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/discarder.h"

#include <array>

namespace uvdo {
namespace {

constexpr std::array<std::byte, kBlockSize> kZeros{};

/// Work for a block of many that go at once, and for one that is taken by itself.
constexpr std::uint64_t kUnitsPerDrop = 2;
constexpr std::uint64_t kUnitsPerRemap = 20;

}  // namespace

Task<Result<void>> Discarder::discard(std::uint64_t offset, std::uint64_t length,
                                      Durability durability) {
  PatientRequest request(entrance_.patient(), admission_.request_time());
  co_return co_await request.answer(
      zero_range(request, offset, length, Zeroing::discard, durability));
}

Task<Result<void>> Discarder::write_zeroes(std::uint64_t offset, std::uint64_t length,
                                           ZeroMode mode, Durability durability) {
  // New pages take blocks, so this one is held back like a write where there is no room beneath.
  const bool needs_pages = mode == ZeroMode::mapped;
  if (needs_pages && !admission_.is_open()) {
    auto admitted = co_await admission_.admit_write();
    if (!admitted) co_return admitted;
  }
  PatientRequest request(entrance_.patient(), admission_.request_time());
  co_return co_await request.answer(
      zero_range(request, offset, length, needs_pages ? Zeroing::map : Zeroing::punch, durability));
}

/// Let in as any other request; the gate's pass is held until all pieces are done.
Task<Result<void>> Discarder::zero_range(PatientRequest& request, std::uint64_t offset,
                                         std::uint64_t length, Zeroing how, Durability durability) {
  const Refusal refusal(request);
  const RequestPass pass = co_await entrance_.gate().enter();
  if (!pass) co_return Entrance::refused();
  auto done = entrance_.check_writable();
  if (done) done = entrance_.check_range(offset, length);
  if (!done || length == 0) co_return done;
  done = co_await zero_pieces(offset, length, how, durability, refusal);
  // Also where nothing was changed: what made it zeros before may not be stable yet.
  if (done && durability == Durability::fua) done = co_await ledger_.journal().commit_all();
  co_return done;
}

Task<Result<void>> Discarder::zero_pieces(std::uint64_t offset, std::uint64_t length, Zeroing how,
                                          Durability durability, const Refusal& refusal) {
  const std::uint64_t end = offset + length;
  const std::uint64_t first_whole = (offset + kBlockSize - 1) / kBlockSize;
  const std::uint64_t last_whole = end / kBlockSize;
  // It lies within one block, and touches neither end.
  if (first_whole > last_whole) {
    co_return co_await zero_part(offset, length, how, durability, refusal);
  }
  // Whole blocks first: a part may need the room that they give back.
  Result<void> done;
  if (first_whole < last_whole) {
    counters_.discards += last_whole - first_whole;
    if (how == Zeroing::map) {
      done = co_await map_zero_blocks(Lbn{first_whole}, Lbn{last_whole}, refusal);
    } else {
      done = co_await unmap_blocks(Lbn{first_whole}, Lbn{last_whole}, refusal);
    }
    maintenance_.note_new_entries();
  }
  if (done && offset % kBlockSize != 0) {
    done = co_await zero_part(offset, first_whole * kBlockSize - offset, how, durability, refusal);
  }
  if (done && end % kBlockSize != 0) {
    done = co_await zero_part(last_whole * kBlockSize, end % kBlockSize, how, durability, refusal);
  }
  co_return done;
}

Task<Result<void>> Discarder::zero_part(std::uint64_t offset, std::uint64_t length, Zeroing how,
                                        Durability durability, const Refusal& refusal) {
  const Lbn lbn{offset / kBlockSize};
  Buffer block = co_await buffers_.merge.acquire(kBlockSize);
  // From looking at the block to merging into it nobody else may write it.
  co_await locks_.lock(lbn);
  auto zeros = co_await reads_as_zeros(lbn, how);
  if (!zeros || *zeros) {
    locks_.unlock(lbn);
    if (!zeros) co_return std::move(zeros).error();
    co_return Result<void>();
  }
  auto done = co_await writes_.merge_locked(std::move(block), offset,
                                            ConstBytes(kZeros).first(length), durability, refusal);
  // A discard may leave a part as it is; for want of a block it does.
  if (!done && done.error().code() == Errc::no_space && how == Zeroing::discard) {
    co_return Result<void>();
  }
  co_return done;
}

/// Whether a block, which the caller has locked, is zeros already in the way that is asked for.
Task<Result<bool>> Discarder::reads_as_zeros(Lbn lbn, Zeroing how) {
  auto leaf = co_await map_.leaf(page_number(lbn));
  if (!leaf) co_return std::move(leaf).error();
  const BlockMapping mapping = *leaf ? (*leaf)->entry(leaf_slot(lbn)) : kUnmapped;
  if (options_.faults.is_on(Fault::discard_allocates)) co_return false;
  co_return mapping == kMappedZero || (mapping == kUnmapped && how != Zeroing::map);
}

Task<Result<void>> Discarder::unmap_blocks(Lbn first, Lbn last, const Refusal& refusal) {
  co_await locks_.drain(first, last);
  // Tree by tree, as one tree's leaves can be looked for at once; those that do not exist are
  // skipped. Writers that hold blocks of the range have ended (drain()); later ones may come before
  // or after.
  const PageNumber first_page = page_number(first);
  const std::uint64_t leaves = page_number(last - 1).value() + 1;
  for (std::uint32_t root = 0; root < kBlockMapRoots; ++root) {
    // The leaves of this tree in the range.
    std::uint64_t index = leaves_of_tree(root, first_page.value());
    const std::uint64_t limit = leaves_of_tree(root, leaves);
    while (index < limit) {
      co_await give_way(executor_, options_);
      auto next = co_await map_.next_leaf(root, index, limit);
      if (!next) co_return std::move(next).error();
      if (!*next) break;
      auto done = co_await remap_in_leaf(page_of(root, **next), first, last, kUnmapped, refusal);
      if (!done) co_return done;
      index = **next + 1;
    }
  }
  co_return Result<void>();
}

Task<Result<void>> Discarder::map_zero_blocks(Lbn first, Lbn last, const Refusal& refusal) {
  co_await locks_.drain(first, last);
  for (PageNumber page = page_number(first); page <= page_number(last - 1); ++page) {
    co_await give_way(executor_, options_);
    auto done = co_await map_.ensure_leaf(page);
    if (done) done = co_await remap_in_leaf(page, first, last, kMappedZero, refusal);
    if (!done) co_return done;
  }
  co_return Result<void>();
}

Task<Result<void>> Discarder::remap_in_leaf(PageNumber page, Lbn first, Lbn last,
                                            BlockMapping mapping, const Refusal& refusal) {
  auto leaf = co_await map_.leaf(page);
  if (!leaf) co_return std::move(leaf).error();
  if (!*leaf) co_return Result<void>();
  // A run ends before a block that a writer has locked: that one is waited for.
  const auto is_taken = [this](Lbn lbn) { return locks_.size() > 0 && locks_.is_locked(lbn); };
  const Lbn end = std::min(last, first_lbn(page) + kEntriesPerPage);
  for (Lbn lbn = std::max(first, first_lbn(page)); lbn < end;) {
    co_await give_way(executor_, options_);
    if (depot_.has_most_frees()) co_await depot_.wait_for_fewer_frees();
    if (refusal.is_given()) co_return Refusal::error();
    // As many blocks as go together at once; where none does, one by itself, which may wait.
    auto dropped = ledger_.drop(**leaf, lbn, end - lbn, mapping, is_taken);
    if (!dropped) co_return std::move(dropped).error();
    if (*dropped > 0) {
      executor_.spend(*dropped * kUnitsPerDrop);
      lbn += *dropped;
      continue;
    }
    executor_.spend(kUnitsPerRemap);
    // A writer that holds the block now has read what was there: it is let finish.
    const bool locked = locks_.is_locked(lbn);
    if (locked) co_await locks_.lock(lbn);
    auto outcome = remap_one(**leaf, lbn, mapping, refusal);
    if (locked) locks_.unlock(lbn);
    if (!outcome) co_return std::move(outcome).error();
    if (Ledger::is_waiting(*outcome)) {
      co_await ledger_.wait_for(*outcome);
    } else {
      ++lbn;
    }
  }
  co_return Result<void>();
}

/// A refusal is looked for right before the change: behind it nothing of the request happens any
/// more.
Result<Ledger::Outcome> Discarder::remap_one(MapPage& leaf, Lbn lbn, BlockMapping mapping,
                                             const Refusal& refusal) {
  if (refusal.is_given()) return Refusal::error();
  auto changed = ledger_.remap(leaf, lbn, mapping, Ledger::Owner::caller);
  if (!changed) return std::move(changed).error();
  return changed->outcome;
}

}  // namespace uvdo
