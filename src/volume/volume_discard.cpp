// SPDX-License-Identifier: GPL-2.0-or-later
// Discards and zeros (behaviour.md, 5.6): whole blocks only change the map, a leaf at a time,
// and where there is no leaf nothing is done; parts of blocks that have data are written as zeros.
#include <array>
#include <optional>

#include "base/unset.h"
#include "volume/volume.h"

namespace uvdo {
namespace {

constexpr std::array<std::byte, kBlockSize> kZeros{};

/// Work for a block of many that go at once, and for one that is taken by itself.
constexpr std::uint64_t kUnitsPerDrop = 2;
constexpr std::uint64_t kUnitsPerRemap = 20;

}  // namespace

Task<Result<void>> Volume::discard(std::uint64_t offset, std::uint64_t length,
                                   Durability durability) {
  PatientRequest request(patient_requests_, request_time());
  co_return co_await request.answer(
      zero_range(request, offset, length, Zeroing::discard, durability));
}

Task<Result<void>> Volume::write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode,
                                        Durability durability) {
  const bool needs_pages = mode == ZeroMode::mapped;
  if (needs_pages && !room_.is_open()) {
    auto admitted = co_await admit_write();
    if (!admitted) co_return admitted;
  }
  PatientRequest request(patient_requests_, request_time());
  co_return co_await request.answer(
      zero_range(request, offset, length, needs_pages ? Zeroing::map : Zeroing::punch, durability));
}

Task<Result<void>> Volume::zero_range(PatientRequest& request, std::uint64_t offset,
                                      std::uint64_t length, Zeroing how, Durability durability) {
  const Refusal refusal(request);
  if (!requests_gate_.is_open() && !co_await requests_gate_.wait()) co_return refused();
  const RequestPass pass(requests_gate_);
  auto done = check_writable();
  if (done) done = check_range(offset, length);
  if (!done || length == 0) co_return done;
  const std::uint64_t end = offset + length;
  const std::uint64_t first_whole = (offset + kBlockSize - 1) / kBlockSize;
  const std::uint64_t last_whole = end / kBlockSize;
  if (first_whole > last_whole) {
    done = co_await zero_part(offset, length, how, durability, refusal);
  } else {
    // Whole blocks first: a part may need the room that they give back.
    if (first_whole < last_whole) {
      requests_.discards += last_whole - first_whole;
      if (how == Zeroing::map) {
        done = co_await map_zero_blocks(Lbn{first_whole}, Lbn{last_whole}, refusal);
      } else {
        done = co_await unmap_blocks(Lbn{first_whole}, Lbn{last_whole}, refusal);
      }
      note_new_entries();
    }
    if (done && offset % kBlockSize != 0) {
      done =
          co_await zero_part(offset, first_whole * kBlockSize - offset, how, durability, refusal);
    }
    if (done && end % kBlockSize != 0) {
      done =
          co_await zero_part(last_whole * kBlockSize, end % kBlockSize, how, durability, refusal);
    }
  }
  // Also where nothing was changed: what made it zeros before may not be stable yet.
  if (done && durability == Durability::fua) done = co_await journal_->commit_all();
  co_return done;
}

Task<Result<void>> Volume::zero_part(std::uint64_t offset, std::uint64_t length, Zeroing how,
                                     Durability durability, const Refusal& refusal) {
  const Lbn lbn{offset / kBlockSize};
  Buffer block = co_await merge_buffers_.acquire(kBlockSize);
  co_await locks_.lock(lbn);
  auto zeros = co_await reads_as_zeros(lbn, how);
  if (!zeros || *zeros) {
    locks_.unlock(lbn);
    if (!zeros) co_return std::move(zeros).error();
    co_return Result<void>();
  }
  auto done = co_await merge_locked(std::move(block), offset, ConstBytes(kZeros).first(length),
                                    durability, refusal);
  // A discard may leave a part as it is; for want of a block it does.
  if (!done && done.error().code() == Errc::no_space && how == Zeroing::discard) {
    co_return Result<void>();
  }
  co_return done;
}

/// Whether a block, which the caller has locked, is zeros already in the way that is asked for.
Task<Result<bool>> Volume::reads_as_zeros(Lbn lbn, Zeroing how) {
  auto leaf = co_await map_->leaf(page_number(lbn));
  if (!leaf) co_return std::move(leaf).error();
  const BlockMapping mapping = *leaf ? (*leaf)->entry(leaf_slot(lbn)) : kUnmapped;
  if (notifier_.is_on(Fault::discard_allocates)) co_return false;
  co_return mapping == kMappedZero || (mapping == kUnmapped && how != Zeroing::map);
}

Task<Result<void>> Volume::unmap_blocks(Lbn first, Lbn last, const Refusal& refusal) {
  co_await locks_.drain(first, last);
  const PageNumber first_page = page_number(first);
  const PageNumber last_page = page_number(last - 1);
  for (std::uint32_t root = 0; root < kBlockMapRoots; ++root) {
    // The leaves of this tree in the range: first the index of the first at or after first_page.
    std::uint64_t index = index_in_tree(first_page);
    if (page_of(root, index) < first_page) ++index;
    if (page_of(root, index) > last_page) continue;
    const std::uint64_t limit = index + (last_page - page_of(root, index)) / kBlockMapRoots + 1;
    while (true) {
      co_await give_way();
      auto next = co_await map_->next_leaf(root, index, limit);
      if (!next) co_return std::move(next).error();
      if (!*next) break;
      auto done = co_await remap_in_leaf(page_of(root, **next), first, last, kUnmapped, refusal);
      if (!done) co_return done;
      index = **next + 1;
    }
  }
  co_return Result<void>();
}

Task<Result<void>> Volume::map_zero_blocks(Lbn first, Lbn last, const Refusal& refusal) {
  co_await locks_.drain(first, last);
  for (PageNumber page = page_number(first); page <= page_number(last - 1); ++page) {
    co_await give_way();
    auto done = co_await map_->ensure_leaf(page);
    if (done) done = co_await remap_in_leaf(page, first, last, kMappedZero, refusal);
    if (!done) co_return done;
  }
  co_return Result<void>();
}

Task<Result<void>> Volume::remap_in_leaf(PageNumber page, Lbn first, Lbn last, BlockMapping mapping,
                                         const Refusal& refusal) {
  auto leaf = co_await map_->leaf(page);
  if (!leaf) co_return std::move(leaf).error();
  if (!*leaf) co_return Result<void>();
  const Lbn begin = std::max(first, first_lbn(page));
  const Lbn end = std::min(last, first_lbn(page) + kEntriesPerPage);
  for (Lbn lbn = begin; lbn < end;) {
    co_await give_way();
    if (depot_->has_most_frees()) co_await depot_->wait_for_fewer_frees();
    if (refusal.is_given()) co_return Refusal::error();
    auto dropped = try_drop(**leaf, lbn, end - lbn, mapping);
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
    Result<Remapped> changed = refusal.is_given() ? Result<Remapped>(Refusal::error())
                                                  : try_remap(**leaf, lbn, mapping, false);
    if (locked) locks_.unlock(lbn);
    if (!changed) co_return std::move(changed).error();
    if (changed->outcome == RemapOutcome::must_wait_for_journal) {
      co_await journal_->wait_for_room();
    } else if (changed->outcome == RemapOutcome::must_wait_for_depot) {
      co_await depot_->wait_for_room();
    } else {
      ++lbn;
    }
  }
  co_return Result<void>();
}

Result<std::uint64_t> Volume::try_drop(MapPage& leaf, Lbn first, std::uint64_t count,
                                       BlockMapping mapping) {
  if (notifier_.is_read_only()) return notifier_.error();
  const unsigned slot = leaf_slot(first);
  UVDO_UNSET std::array<BlockMapping, kEntriesPerBlock> old;  // NOLINT: filled as far as used
  const std::size_t most = std::min<std::uint64_t>(count, journal_->room_in_block());
  const std::size_t found = depot_->gather_run(
      std::span(old).first(most), [&](std::size_t i) -> std::optional<BlockMapping> {
        if (locks_.size() > 0 && locks_.is_locked(first + i)) return std::nullopt;
        return leaf.entry(slot + static_cast<unsigned>(i));
      });
  const auto dropped = std::span(old).first(found);
  if (dropped.empty()) return 0;
  const JournalPoint point = journal_->add_run(leaf.pbn, slot, dropped, mapping);
  if (auto counted = depot_->drop(dropped, point); !counted) {
    notifier_.enter(counted.error());
    return std::move(counted).error();
  }
  map_->set_run(leaf, slot, dropped.size(), mapping, point, journal_->last_point());
  for (std::size_t i = 0; i < dropped.size(); ++i) savings_.changed(first + i, dropped[i], mapping);
  return dropped.size();
}

}  // namespace uvdo
