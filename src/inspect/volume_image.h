// SPDX-License-Identifier: GPL-2.0-or-later
// A stopped volume, read synchronously: its structures, its block map, and what it holds. A volume
// that was not shut down is shown as a recovery would leave it, one that waits for a rebuild as
// that would: its journal is replayed in memory (format/journal_view.h). Nothing is ever written,
// and hostile images give errors, not crashes.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/block_types.h"
#include "base/result.h"
#include "device/blocking_device.h"
#include "device/pbn_device.h"
#include "format/block_map_page.h"
#include "format/block_map_tree.h"
#include "format/slab_layout.h"
#include "format/slab_summary.h"
#include "format/super_block.h"
#include "format/volume_geometry.h"
#include "inspect/journal_replay.h"

namespace uvdo {

struct ImageOptions {
  /// false: show what block map and counts say without the journal, whatever the state
  bool replay = true;
};

/// A block map page as a reader sees it.
struct PageView {
  PageStatus status = PageStatus::invalid;
  std::array<std::byte, kBlockSize> bytes{};
  [[nodiscard]] BlockMapping entry(unsigned slot) const { return uvdo::entry(bytes, slot); }
};

/// A page on the way to an entry of the block map, and where the way goes on from it.
struct MapStep {
  unsigned height = 0;
  Pbn page;
  unsigned slot = 0;
  PageStatus status = PageStatus::invalid;
  BlockMapping entry;  ///< unmapped, unless the page is valid
};

/// Blocking, and for one thread: reads fill the caches below. What is read is not locked here; who
/// opens the store sees to it that nobody writes to it meanwhile. Places come from the disk, so
/// that each is checked before it is followed.
class VolumeImage {
 public:
  /// Reads geometry block and super block, and replays the journal if the state asks for it. Fails
  /// if there is no volume, if it cannot be interpreted at all, or if its journal is of a form that
  /// is not replayed (unsupported; ImageOptions::replay = false still opens it).
  static Result<std::unique_ptr<VolumeImage>> open(std::unique_ptr<BackingStore> store,
                                                   ImageOptions options = {});

  [[nodiscard]] const BackingStore& store() const { return device_.store(); }
  [[nodiscard]] const VolumeGeometry& geometry() const { return geometry_; }
  [[nodiscard]] const SuperBlock& super_block() const { return super_; }
  [[nodiscard]] const SlabLayout& slabs() const { return slabs_; }
  [[nodiscard]] SlabNumber slab_count() const { return super_.depot.slab_count(); }
  [[nodiscard]] std::uint64_t logical_blocks() const { return super_.config.logical_blocks; }
  /// Whether the device ends before the volume does.
  [[nodiscard]] bool is_truncated() const;
  /// What the replay found; nothing if the volume was not replayed.
  [[nodiscard]] const JournalReplay* replay() const { return replay_ ? &*replay_ : nullptr; }
  /// Whether it is seen as a rebuild would leave it, which makes all counts anew.
  [[nodiscard]] bool is_seen_as_rebuilt() const {
    return replay_ && replay_->view.rule == JournalView::Rule::rebuild;
  }
  /// The counters that the block map should agree with, after the replay if there was one.
  [[nodiscard]] std::uint64_t logical_blocks_used() const;
  [[nodiscard]] std::uint64_t block_map_blocks() const;

  /// Reads whole blocks by physical number.
  /// out_of_range: no device has such a block; or the error of the device, also where it ends
  /// before.
  Result<void> read_blocks(Pbn first, MutableBytes out) const;
  /// How many blocks from `first` on, at most `limit`, are a hole of a sparse backing file.
  [[nodiscard]] std::uint64_t hole_blocks(Pbn first, std::uint64_t limit) const;

  /// Reads a block map page, with what the journal changes in it.
  Result<void> read_page(Pbn pbn, PageView& out) const;

  /// Where a logical block is mapped. out_of_range; corrupt if the way to it is damaged.
  Result<BlockMapping> mapping(Lbn lbn);
  /// The same, and the pages that were passed, from the root down, also if it fails in the end.
  Result<BlockMapping> mapping(Lbn lbn, std::vector<MapStep>& way);
  /// The contents behind a mapping. corrupt if it is not valid or the block is damaged.
  Result<void> read_mapped(BlockMapping mapping, MutableBytes out);
  /// The contents of a logical block.
  Result<void> read(Lbn lbn, MutableBytes out);

  /// The next leaf of tree `root` with an index in the tree of at least `index`.
  struct LeafPlace {
    std::uint64_t index = 0;
    Pbn pbn;
    std::string damage;  ///< not empty: the way to this leaf is damaged, there is no pbn
  };
  std::optional<LeafPlace> next_leaf(std::uint32_t root, std::uint64_t index);

  /// The summary entry of each slab, from the area of its zone. Not for NEW volumes, whose
  /// summary is not initialized.
  Result<std::vector<SlabSummaryEntry>> read_slab_summary() const;

 private:
  explicit VolumeImage(std::unique_ptr<BackingStore> store) : device_(std::move(store)) {}
  Result<void> read_headers();
  /// Where a block begins on the store, in bytes. Needs first >= bio_offset.
  [[nodiscard]] std::uint64_t byte_of(Pbn first) const {
    return PbnDevice(device_.store(), geometry_.bio_offset).byte_of(first);
  }

  /// The page last used of a tree and height: sequential readers stay on one path of each tree.
  struct CachedPage {
    Pbn pbn;
    bool loaded = false;
    PageView view;
  };
  template <class Visit>
  Result<BlockMapping> follow(Lbn lbn, Visit&& visit);
  Result<const PageView*> cached_page(std::uint32_t root, unsigned height, Pbn pbn);

  /// Compressed blocks last read: neighbours tend to share one.
  struct CachedBlock {
    Pbn pbn;
    std::array<std::byte, kBlockSize> bytes{};
  };
  Result<const CachedBlock*> cached_block(Pbn pbn);

  BlockingDevice device_;
  VolumeGeometry geometry_;
  SuperBlock super_;
  SlabLayout slabs_;
  std::optional<JournalReplay> replay_;
  std::vector<std::array<std::unique_ptr<CachedPage>, kTreeHeight>> pages_;
  std::vector<std::unique_ptr<CachedBlock>> compressed_;
};

}  // namespace uvdo
