// SPDX-License-Identifier: GPL-2.0-or-later
// Puts changes that a journal demands into the block map pages on disk, before the volume is in
// use (behaviour.md, 9.3 and 10).
// It may be broken off at any point: repeated, it leaves the same pages.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "async/wait_queue.h"
#include "base/aligned_memory.h"
#include "device/pbn_device.h"
#include "format/block_map_page.h"
#include "format/page_change.h"

namespace uvdo {

/// Divides the pages of a volume into ranges with no more changes than memory is meant for. A long
/// journal is gone through once for each range, so that each page is read and written once: with
/// changes all over a large device, pages are far more than blocks of the journal.
class ReplayRanges {
 public:
  struct Range {
    std::uint64_t first = 0;
    std::uint64_t end = UINT64_MAX;
    [[nodiscard]] bool contains(Pbn page) const {
      return page.value() >= first && page.value() < end;
    }
  };
  /// Of a volume with so many physical blocks.
  explicit ReplayRanges(std::uint64_t blocks) : slice_(blocks / kSlices + 1), changes_(kSlices) {}
  void count(Pbn page) { ++changes_[std::min(page.value() / slice_, kSlices - 1)]; }
  /// All pages, in ranges of at most `limit` changes, but for single slices that have more.
  [[nodiscard]] std::vector<Range> ranges(std::uint64_t limit) const;

 private:
  // 256 KiB of counters, however large the volume.
  static constexpr std::uint64_t kSlices = 65536;
  std::uint64_t slice_;
  std::vector<std::uint32_t> changes_;
};

/// Used by one caller that adds changes in the journal's order, applies them when told that it is
/// full, and flushes at the end.
class PageReplay {
 public:
  /// Changes that are gathered before they are applied: 16 MiB of memory, twice while sorting.
  static constexpr std::size_t kBatch = std::size_t{1} << 20U;

  /// What is done about a page that cannot be read or belongs to another place.
  enum class Damage : std::uint8_t { fail, take_as_empty };

  PageReplay(Executor& executor, PbnDevice device, std::uint64_t nonce, Damage damage,
             std::size_t batch = kBatch);

  /// Adds a change; later ones of a slot win. Call apply() when is_full(), and at the end.
  void add(const PageChange& change) { changes_.push_back(change); }
  /// A change that only sees to it that a page is complete on disk.
  [[nodiscard]] static PageChange touched(Pbn page) { return {page, kEntriesPerPage, kUnmapped}; }
  [[nodiscard]] bool is_full() const { return changes_.size() >= batch_; }
  /// Writes all changed pages. They are stable after a flush. corrupt: a page of another place.
  Task<Result<void>> apply();

  [[nodiscard]] std::uint64_t pages_replaced() const { return pages_replaced_; }

 private:
  // 2 MiB of page memory.
  static constexpr std::size_t kPagesAtOnce = 512;

  struct Page {
    Pbn pbn;
    std::span<const PageChange> changes;
    bool is_new = false;
    bool is_unreadable = false;
  };
  /// Pages that lie side by side on the device, and here.
  struct Run {
    std::size_t first = 0;
    std::size_t count = 0;
  };
  /// Of up to kPagesAtOnce pages, in ascending order: reads them, changes them, writes them.
  Task<Result<void>> apply_to(std::span<Page> pages);
  template <typename Predicate>
  static std::vector<Run> runs_of(std::span<const Page> pages, Predicate wanted);
  /// Reads and writes the pages of a run; of several errors, one is left in `result`.
  Task<void> read(std::span<Page> pages, Run run, Result<void>& result);
  Task<Result<void>> write_runs(std::span<const Page> pages, const std::vector<Run>& runs);
  Result<void> prepare(Page& page, MutableBytes block);
  [[nodiscard]] MutableBytes blocks_of(Run run) {
    return blocks_.bytes().subspan(run.first * kBlockSize, run.count * kBlockSize);
  }

  Executor& executor_;
  PbnDevice device_;
  std::uint64_t nonce_;
  Damage damage_;
  std::size_t batch_;
  std::vector<PageChange> changes_;
  AlignedMemory blocks_;
  std::uint64_t pages_replaced_ = 0;
};

}  // namespace uvdo
