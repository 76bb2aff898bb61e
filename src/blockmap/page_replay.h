// SPDX-License-Identifier: GPL-2.0-or-later
// Puts changes that a journal demands into the block map pages on disk, before the volume is in
// use (vdo-behaviour.md, 9.3 and 10).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "async/wait_queue.h"
#include "base/aligned_memory.h"
#include "device/device.h"
#include "format/block_map_page.h"
#include "format/page_change.h"
#include "format/volume_geometry.h"

namespace uvdo {

class PageReplay {
 public:
  /// Changes that are gathered before they are applied: 16 MiB of memory, twice while sorting.
  static constexpr std::size_t kBatch = std::size_t{1} << 20U;

  /// What is done about a page that cannot be read or belongs to another place.
  enum class Damage : std::uint8_t { fail, take_as_empty };

  PageReplay(Executor& executor, Device& device, const VolumeGeometry& geometry,
             std::uint64_t nonce, Damage damage);

  /// Adds a change; later ones of a slot win. Call apply() when is_full(), and at the end.
  void add(const PageChange& change) { changes_.push_back(change); }
  /// Sees to it that a page is complete on disk, even if nothing in it changes.
  void touch(Pbn page) { changes_.emplace_back(page, kEntriesPerPage, kUnmapped); }
  [[nodiscard]] bool is_full() const { return changes_.size() >= kBatch; }
  /// Writes all changed pages. They are stable after a flush. corrupt: a page of another place.
  Task<Result<void>> apply();

  [[nodiscard]] std::uint64_t pages_written() const { return pages_written_; }
  [[nodiscard]] std::uint64_t pages_replaced() const { return pages_replaced_; }

 private:
  static constexpr std::size_t kPagesAtOnce = 128;

  struct Page {
    Pbn pbn;
    std::span<const PageChange> changes;
    bool is_new = false;
    Result<void> result;
  };
  Task<Result<void>> apply_to(std::span<Page> pages);
  Task<void> read(Page& page, MutableBytes block);
  Task<void> write(Page& page, MutableBytes block);

  Executor& executor_;
  Device& device_;
  VolumeGeometry geometry_;
  std::uint64_t nonce_;
  Damage damage_;
  std::vector<PageChange> changes_;
  AlignedMemory blocks_;
  std::uint64_t pages_written_ = 0;
  std::uint64_t pages_replaced_ = 0;
};

}  // namespace uvdo
