// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume_examination.h"

#include <algorithm>
#include <cstring>

#include <fmt/core.h>

#include "content.h"

namespace uvdo::sim {
namespace {

constexpr std::uint64_t kBlocksAtOnce = 32;
/// Parts of blocks that are discarded.
constexpr int kParts = 4;
/// Leaves that are made far from each other: more than a small map has memory for.
constexpr int kFarLeaves = 90;
/// Copies of so many blocks go through more than one chapter of a small index.
constexpr std::uint64_t kMostCopied = 2500;
constexpr std::uint64_t kFewestCopied = 1100;
/// Of 100 copies so many are to be found again.
constexpr std::uint64_t kFound = 60;
/// Numbers of contents that no client uses.
constexpr std::uint32_t kFirstNumber = 0x8000'0000U;

bool is_excused(const Result<void>& done) {
  return done.ok() || done.error().code() == Errc::no_space;
}

/// Writes `count` blocks of contents numbered from `number` on.
Task<Result<void>> write_contents(Volume& volume, std::uint64_t first, std::uint64_t count,
                                  std::uint32_t number) {
  Result<void> done;
  for (std::uint64_t at = 0; done && at < count; at += kBlocksAtOnce) {
    const std::uint64_t blocks = std::min(kBlocksAtOnce, count - at);
    Buffer buffer = co_await volume.buffers().acquire(blocks * kBlockSize);
    for (std::uint64_t i = 0; i < blocks; ++i) {
      fill_block({ContentKind::unique, number + static_cast<std::uint32_t>(at + i)},
                 buffer.bytes().subspan(i * kBlockSize, kBlockSize));
    }
    done = co_await volume.write((first + at) * kBlockSize, std::move(buffer), Durability::cached);
  }
  if (done) done = co_await volume.flush();
  co_return done;
}

Task<void> wait_until_index_is_open(Executor& executor, const Volume& volume) {
  Alarm pause(executor);
  while (volume.index()->state() == IndexState::opening) {
    co_await pause.sleep(std::chrono::milliseconds(1));
  }
}

/// One of the ways to take an index out of use and back.
Task<Result<void>> renew_index(Volume& volume, std::uint64_t how) {
  if (how == 0) co_return co_await volume.create_index();
  if (how == 1) {
    auto closed = co_await volume.close_index();
    if (!closed) co_return closed;
  } else {
    volume.set_deduplication(false);
  }
  co_return co_await volume.enable_index();
}

}  // namespace

Task<std::string> examine_parts(Volume& volume, SimRandom& random, std::uint64_t first) {
  auto done = co_await volume.flush();
  const std::uint64_t pages = volume.journal().block_map_blocks();
  // No client is at work: whatever changes in these two is the doing of the discards.
  const std::uint64_t used = volume.journal().logical_blocks_used();
  for (int i = 0; done && i < kParts; ++i) {
    const std::uint64_t block = random.between(first, volume.size() / kBlockSize - 2);
    const auto found = co_await volume.extents(block * kBlockSize, 2 * kBlockSize, 2);
    if (!found || found->size() != 1 || found->front().kind != ExtentKind::hole) continue;
    // A part of the block, or the end of it and the beginning of the next.
    const std::uint64_t offset = block * kBlockSize + random.between(1, kBlockSize - 1);
    const std::uint64_t length = random.between(1, kBlockSize);
    const auto durability = random.chance(1, 2) ? Durability::cached : Durability::fua;
    if (random.chance(1, 2)) {
      done = co_await volume.discard(offset, length, durability);
    } else {
      done = co_await volume.write_zeroes(offset, length, ZeroMode::punch, durability);
    }
  }
  if (done) done = co_await volume.flush();
  if (!done) co_return "discards of parts: " + done.error().message();
  if (volume.journal().block_map_blocks() == pages &&
      volume.journal().logical_blocks_used() == used) {
    co_return std::string();
  }
  co_return fmt::format(
      "discards of parts of blocks without data took {} pages of the map and {} blocks",
      volume.journal().block_map_blocks() - pages, volume.journal().logical_blocks_used() - used);
}

Task<std::string> examine_deduplication(Executor& executor, Volume& volume, SimRandom& random,
                                        std::uint64_t first) {
  co_await wait_until_index_is_open(executor, volume);
  auto done = co_await volume.flush();
  if (!done) co_return "a flush: " + done.error().message();
  // Two contents, of which at most the second is there twice.
  const std::uint64_t count = std::min(kMostCopied, volume.depot().free_blocks() / 3);
  if (count < kFewestCopied) co_return std::string();
  const std::uint32_t number = kFirstNumber + static_cast<std::uint32_t>(random.below(1U << 30U));
  // What the old index knows, it is asked for, so that it is in all caches.
  for (std::uint64_t copy = 0; copy < 2; ++copy) {
    done = co_await write_contents(volume, first + copy * count, count, number);
    if (!is_excused(done)) co_return "a write: " + done.error().message();
  }
  const std::uint64_t how = random.below(3);
  auto renewed = co_await renew_index(volume, how);
  if (!renewed) co_return "an index operation: " + renewed.error().message();
  co_await wait_until_index_is_open(executor, volume);
  const std::uint32_t other = number + static_cast<std::uint32_t>(count);
  done = co_await write_contents(volume, first + 2 * count, count, other);
  // The second copy alone is counted: of the first the new index knows nothing.
  const std::uint64_t valid = volume.hash_locks().dedupe_advice_valid;
  const std::uint64_t dropped = volume.index()->dropped_records();
  if (done) done = co_await write_contents(volume, first + 3 * count, count, other);
  if (!is_excused(done)) co_return "a write: " + done.error().message();
  const std::uint64_t found = volume.hash_locks().dedupe_advice_valid - valid;
  const bool has_room = done.ok();
  done = co_await volume.discard(first * kBlockSize, 4 * count * kBlockSize, Durability::cached);
  if (!done) co_return "a discard: " + done.error().message();
  // A name that the index could not take in time cannot be found.
  if (!has_room || (found + dropped) * 100 >= count * kFound) co_return std::string();
  constexpr std::array<const char*, 3> kNames{"made anew", "closed and opened",
                                              "switched off and on"};
  const IndexStatistics told = volume.index()->statistics();
  co_return fmt::format(
      "of {} blocks that came again {} were found by an index that was {} ({}, {} names, {} not "
      "taken, {} posts found and {} not, {} late, {} stale)",
      count, found, kNames[how], name_of(volume.index()->state()), told.entries_indexed, dropped,
      told.posts_found, told.posts_not_found, volume.index()->timeouts(),
      volume.hash_locks().dedupe_advice_stale);
}

Task<std::string> spread_leaves(Volume& volume, SimRandom& random, std::uint64_t first) {
  for (int i = 0; i < kFarLeaves; ++i) {
    const std::uint64_t block = random.between(first, volume.size() / kBlockSize - 1);
    const auto done = co_await volume.write_zeroes(block * kBlockSize, kBlockSize, ZeroMode::mapped,
                                                   Durability::cached);
    if (!is_excused(done)) co_return "a write far away: " + done.error().message();
    if (!done) break;
  }
  co_return std::string();
}

}  // namespace uvdo::sim
