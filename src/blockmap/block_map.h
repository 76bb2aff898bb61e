// SPDX-License-Identifier: GPL-2.0-or-later
// The block map of a volume in use: 60 trees that lead from a logical block to where its data are
// (volume.md, 6; behaviour.md, 5.4). Leaves live in a cache of bounded size; the interior
// pages that were ever needed stay in memory (5 KiB for each 812 leaves).
//
// What holds here:
// - A leaf is in at most one frame, and leaf_index_ says which. A frame is in clean_ or in dirty_,
//   or it is being read or written, or it was never used.
// - A changed page holds the journal block of its oldest change (Head::block_map) until it is on
//   the disk, and is written only when its newest change is stable.
// - A block is formatted as an empty page on the disk before the journal entry that makes it one
//   can be stable.
// - Nothing that was changed is given up, in read-only mode neither.
//
// An index counts pages of one height within one tree; a page number counts leaves over all trees
// (volume.md, 6.3). All of it belongs to the thread of the metadata.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "async/wait_queue.h"
#include "base/aligned_memory.h"
#include "base/block_arena.h"
#include "base/fault_points.h"
#include "base/flat_map.h"
#include "base/page_memory.h"
#include "blockmap/interior_pages.h"
#include "blockmap/map_page.h"
#include "device/pbn_device.h"
#include "format/block_map_tree.h"
#include "format/page_change.h"
#include "format/slab_layout.h"
#include "format/volume_geometry.h"
#include "journal/recovery_journal.h"
#include "statistics/part_statistics.h"

namespace uvdo {

/// What of the super block the map needs, and how much memory it takes.
struct BlockMapConfig {
  std::uint64_t nonce = 0;
  Pbn root_origin;
  SlabLayout slabs;
  std::uint64_t logical_blocks = 0;
  std::uint32_t cache_pages = 32768;
  std::uint32_t maximum_age = 16380;  ///< journal blocks, as configured (behaviour.md, 5.3)
};

/// Where the map gets blocks for new pages.
class PageAllocator {
 public:
  virtual ~PageAllocator() = default;
  /// A provisional block. Errc::no_space if there is none.
  virtual Task<Result<Pbn>> allocate_page() = 0;
  /// Waits until a journal entry about the block can be added.
  virtual Task<Result<void>> wait_for_room(Pbn pbn) = 0;
  /// Journals that the block is a page now. No waiting: room was made sure of.
  virtual Result<JournalPoint> commit_page(Pbn parent, unsigned slot, Pbn page) = 0;
};

/// A leaf held in the cache: as long as one pin of it lasts, its frame stays that leaf's. It may be
/// changed, and written, meanwhile.
class LeafPin {
 public:
  LeafPin() = default;
  explicit LeafPin(MapPage& page) : page_(&page) { ++page.pins; }
  LeafPin(LeafPin&& other) noexcept : page_(std::exchange(other.page_, nullptr)) {}
  LeafPin& operator=(LeafPin&& other) noexcept {
    std::swap(page_, other.page_);
    return *this;
  }
  ~LeafPin() {
    if (page_ != nullptr) --page_->pins;
  }
  [[nodiscard]] explicit operator bool() const { return page_ != nullptr; }
  MapPage* operator->() const { return page_; }
  MapPage& operator*() const { return *page_; }

 private:
  MapPage* page_ = nullptr;
};

class BlockMap {
 public:
  /// Reads nothing. The memory of the cache is taken here and touched as far as it is used.
  BlockMap(Executor& executor, PbnDevice device, RecoveryJournal& journal,
           ReadOnlyNotifier& notifier, PageAllocator& allocator, const BlockMapConfig& config,
           FaultPoints faults = {});
  BlockMap(const BlockMap&) = delete;
  BlockMap& operator=(const BlockMap&) = delete;

  /// The leaf if it is in memory and ready: the fast path of nearly every request.
  [[nodiscard]] LeafPin cached_leaf(PageNumber number);
  /// Whether the leaf is known to exist, because it is in memory or on its way there.
  [[nodiscard]] bool has_leaf(PageNumber number) {
    return leaf_index_.find(number.value()) != nullptr;
  }
  /// The bytes of a block's entry if its leaf is in memory and ready, otherwise nullptr; without
  /// looking at them.
  [[nodiscard]] const std::byte* find_entry(Lbn lbn) {
    const std::uint32_t* frame = leaf_index_.find(page_number(lbn).value());
    if (frame == nullptr || frames_[*frame].state != MapPage::State::ready) return nullptr;
    return frames_[*frame].bytes + kPageHeaderSize + leaf_slot(lbn) * kBlockMappingSize;
  }
  /// Sees to it that the leaf exists, so that a later write cannot fail for want of a page.
  Task<Result<void>> ensure_leaf(PageNumber number);
  /// The leaf, read from disk if need be; an empty pin if it does not exist.
  Task<Result<LeafPin>> leaf(PageNumber number);

  /// There are more slabs than before, in which mappings and pages may be, or more logical blocks.
  void grow(const SlabLayout& slabs, std::uint64_t logical_blocks) {
    config_.slabs = slabs;
    config_.logical_blocks = logical_blocks;
    interior_.grow(logical_blocks);
  }

  /// From now on pages are as these changes make them, which the disk lacks: of a volume that is
  /// only read. They must outlive the map.
  void overlay(const PageChangeSet& changes) { overlay_ = &changes; }

  /// Changes an entry of a pinned leaf, as the journal entry at `point` says.
  void set(MapPage& leaf, unsigned slot, BlockMapping mapping, JournalPoint point);
  /// The same for `count` entries from `slot` on; `first` and `last` are the points of theirs.
  void set_run(MapPage& leaf, unsigned slot, std::size_t count, BlockMapping mapping,
               JournalPoint first, JournalPoint last);

  /// The first leaf at or after index `from` of tree `root`, below index `limit`, that exists.
  /// Whole subtrees that don't are skipped.
  Task<Result<std::optional<std::uint64_t>>> next_leaf(std::uint32_t root, std::uint64_t from,
                                                       std::uint64_t limit);

  /// Writes pages whose oldest change is in a journal block before `before`, or in any case the
  /// oldest ones to so many leaves.
  Task<Result<void>> write_back(JournalSequence before, std::size_t at_least);
  /// Writes all dirty pages.
  Task<Result<void>> save();
  /// Called when clean pages run out, or dirty ones are too old.
  void on_write_back_needed(std::function<void()> f) { on_write_back_needed_ = std::move(f); }
  /// Lets everybody look again who waits for a page: the volume has become read-only.
  void wake_waiters() {
    changed_.wake_all();
    frame_freed_.wake_all();
  }
  /// The journal block before which changes must be on disk now (behaviour.md, 5.3).
  [[nodiscard]] JournalSequence age_limit() const;
  /// Whether pages should be written because clean ones run out.
  [[nodiscard]] bool is_short_of_clean_pages() const {
    return dirty_leaves_ > config_.cache_pages - config_.cache_pages / 8 ||
           (frames_wanted_ > 0 && dirty_leaves_ > 0);
  }
  [[nodiscard]] std::optional<JournalSequence> oldest_dirty() const {
    if (dirty_.empty()) return std::nullopt;
    return dirty_.oldest()->dirty_since;
  }

  [[nodiscard]] const BlockMapStatistics& counters() const { return counters_; }
  /// Aborts if the lists of pages contradict what the pages say of themselves. Takes a step for
  /// each page in memory.
  void check_invariants() const;
  [[nodiscard]] std::uint64_t dirty_pages() const { return dirty_leaves_; }
  [[nodiscard]] std::uint64_t cached_pages() const { return leaf_index_.size(); }
  [[nodiscard]] std::uint64_t cache_pages() const { return config_.cache_pages; }
  [[nodiscard]] std::uint64_t interior_pages() const { return interior_.size(); }

 private:
  // Pages for which the journal is committed once, and that are written side by side.
  static constexpr std::size_t kWriteBatch = 256;
  // New pages that are made at once: a sequential writer needs one for each 3 MiB, and each takes
  // the device a write.
  static constexpr std::size_t kNewPagesAtOnce = 32;

  struct Child {
    Pbn pbn;                            // kZeroPbn: there is none
    std::optional<JournalPoint> point;  // of its journal entry, if it was made just now
  };
  /// An entry of an interior page whose child is being made.
  struct NewChild {
    const MapPage* parent = nullptr;
    unsigned slot = 0;
    friend bool operator==(const NewChild&, const NewChild&) = default;
  };

  /// Of the trees: `height` 1..4, `index` among the pages of that height in tree `root`. With
  /// `create` what is missing is made from the top down (behaviour.md, 5.4).
  Task<Result<MapPage*>> interior(std::uint32_t root, unsigned height, std::uint64_t index,
                                  bool create);
  Task<Result<MapPage*>> load_interior(std::uint32_t root, unsigned height, std::uint64_t index,
                                       Pbn pbn, bool is_new);
  Task<Result<void>> clear_block(Pbn pbn);
  Task<Result<Child>> allocate_child(MapPage& parent, unsigned slot);
  Task<Result<Child>> allocate_child_alone(MapPage& parent, unsigned slot);
  Task<Result<Child>> find_leaf(PageNumber number, bool create);
  /// corrupt: what an interior page leads to cannot be a page.
  [[nodiscard]] Result<void> check_child(const MapPage& parent, BlockMapping child) const;
  MapPage* try_take_frame();
  Task<Result<MapPage*>> take_frame();
  void may_be_given_up(MapPage& leaf);
  void use_new_leaf(PageNumber number, Pbn pbn);
  Task<Result<void>> load(MapPage& page);
  void change(MapPage& page, unsigned slot, BlockMapping mapping, JournalPoint point);
  void mark_dirty(MapPage& page, JournalPoint point);
  MapPage* next_to_write(JournalSequence before, std::size_t& at_least);
  Task<Result<void>> write_pages(std::span<MapPage* const> pages, MutableBytes copies);
  template <typename Predicate>
  Task<Result<void>> write_copies(std::span<MapPage* const> pages, ConstBytes copies,
                                  Predicate wanted);
  bool is_leaf(const MapPage& page) const {
    return &page >= frames_.data() && &page < frames_.data() + frames_.size();
  }

  Executor& executor_;
  PbnDevice device_;
  RecoveryJournal& journal_;
  ReadOnlyNotifier& notifier_;
  [[no_unique_address]] FaultPoints faults_;
  PageAllocator& allocator_;
  BlockMapConfig config_;
  std::uint64_t maximum_age_;

  const PageChangeSet* overlay_ = nullptr;
  std::vector<MapPage> frames_;
  PageMemory frame_memory_;
  FlatMap<std::uint32_t> leaf_index_;  // page number to frame
  std::uint32_t next_fresh_ = 0;       // frames from here on were never used
  PageList clean_;  // leaves that may be given up, and frames whose page could not be read
  InteriorPages interior_;
  std::vector<NewChild> new_children_;  // being made
  BlockArena new_pages_;                // of those

  PageList dirty_;  // interior pages too, the longest dirty first
  std::uint32_t dirty_leaves_ = 0;
  std::uint32_t writing_leaves_ = 0;
  std::uint32_t frames_wanted_ = 0;  // who waits in frame_freed_
  WaitQueue changed_;                // pages became ready
  WaitQueue frame_freed_;            // a leaf may be given up
  Semaphore writer_;
  AlignedMemory copies_;         // of the pages that the writer writes
  std::vector<MapPage*> batch_;  // those pages
  std::vector<JournalSequence> held_;
  std::function<void()> on_write_back_needed_;
  BlockMapStatistics counters_;
};

}  // namespace uvdo
