// SPDX-License-Identifier: GPL-2.0-or-later
// The index region on its device, apart from what runs in memory: makes a new index, finds an
// existing one and its saves, and addresses the pages of chapters (index.md, 3 to 6).
#pragma once

#include <array>
#include <optional>

#include "async/executor.h"
#include "async/task.h"
#include "device/device.h"
#include "index/index_layout.h"

namespace uvdo {

/// Where the region is, and whose it is.
struct IndexPlace {
  std::uint64_t start_block = 0;
  std::uint64_t blocks = 0;
  std::uint64_t user_nonce = 0;
};

/// Whatever invalidates or completes something here is stable before the call ends (index.md, 6).
class IndexStorage {
 public:
  IndexStorage(Executor& executor, Device& device, const IndexGeometry& geometry,
               const IndexPlace& place)
      : executor_(executor), device_(device), geometry_(geometry), place_(place) {}

  /// Makes an empty index in place of whatever is there.
  Task<Result<void>> create();
  /// Reads super block and configuration. not_found or corrupt: there is no index of ours here.
  Task<Result<void>> open();
  [[nodiscard]] const IndexLayout& layout() const { return layout_; }
  [[nodiscard]] Device& device() const { return device_; }

  /// The saves of both areas, as far as they are valid.
  Task<Result<void>> read_saves();
  /// The slot of the newest valid save; nothing if there is none.
  [[nodiscard]] std::optional<std::uint32_t> newest_save() const;
  [[nodiscard]] const IndexSave& save(std::uint32_t slot) const { return *saves_[slot]; }

  /// Invalidates the older save area and gives its slot. What is written there counts after
  /// finish_save().
  Task<Result<std::uint32_t>> begin_save();
  Task<Result<void>> finish_save(std::uint32_t slot, IndexSave save);
  /// Makes the newest save unusable as a whole, before the first chapter after it is written.
  Task<Result<void>> discard_saved_open_chapter();

  /// Bytes on the device.
  [[nodiscard]] std::uint64_t page_offset(std::uint64_t chapter, std::uint64_t page) const {
    return slot_page_offset(physical_chapter(geometry_, layout_, chapter), page);
  }
  [[nodiscard]] std::uint64_t slot_page_offset(std::uint64_t slot, std::uint64_t page) const;

 private:
  Task<Result<void>> write_block(std::uint64_t block, ConstBytes content);

  Executor& executor_;
  Device& device_;
  const IndexGeometry& geometry_;
  IndexPlace place_;
  IndexLayout layout_;
  // As read_saves() has found them, and as saving has changed them since.
  std::array<std::optional<IndexSave>, kIndexSaves> saves_;
};

}  // namespace uvdo
