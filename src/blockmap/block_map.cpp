// SPDX-License-Identifier: GPL-2.0-or-later
#include "blockmap/block_map.h"

#include <algorithm>

#include <fmt/core.h>

namespace uvdo {
namespace {

/// Work to find a page that is in memory.
constexpr std::uint64_t kUnitsPerPage = 10;

}  // namespace

BlockMap::BlockMap(Executor& executor, PbnDevice device, RecoveryJournal& journal,
                   ReadOnlyNotifier& notifier, PageAllocator& allocator,
                   const BlockMapConfig& config, FaultPoints faults)
    : executor_(executor),
      device_(device),
      journal_(journal),
      notifier_(notifier),
      faults_(faults),
      allocator_(allocator),
      config_(config),
      // Rounded up; why not the configured figure itself: behaviour.md, 5.3.
      maximum_age_((std::uint64_t{config.maximum_age} * 311 + 433) / 434),
      frames_(config.cache_pages),
      frame_memory_(config.cache_pages * kBlockSize),
      leaf_index_(config.cache_pages),
      interior_(config.logical_blocks),
      new_pages_(kNewPagesAtOnce),
      changed_(executor),
      frame_freed_(executor),
      writer_(executor, 1),
      copies_(kWriteBatch * kBlockSize) {
  new_children_.reserve(kNewPagesAtOnce);
  batch_.reserve(kWriteBatch);
  held_.reserve(kWriteBatch);
  frame_memory_.allow_huge_pages();
  for (std::size_t i = 0; i < frames_.size(); ++i) {
    frames_[i].bytes = frame_memory_.data() + i * kBlockSize;
  }
}

// ---- leaves

LeafPin BlockMap::cached_leaf(PageNumber number) {
  const std::uint32_t* frame = leaf_index_.find(number.value());
  if (frame == nullptr) return {};
  MapPage& page = frames_[*frame];
  if (page.state != MapPage::State::ready) return {};
  page.recently_used = true;
  ++counters_.found_in_cache;
  return LeafPin(page);
}

/// Makes the leaf's path too, as far as it is missing.
Task<Result<void>> BlockMap::ensure_leaf(PageNumber number) {
  // In memory, or being read: either way it exists. It need not be ready.
  if (leaf_index_.find(number.value()) != nullptr) co_return Result<void>();
  auto leaf = co_await find_leaf(number, true);
  if (!leaf) co_return std::move(leaf).error();
  if (leaf->point) use_new_leaf(number, leaf->pbn);
  co_return Result<void>();
}

/// Puts a leaf that was made just now into the cache, as what is on disk would be read, if there is
/// room without waiting.
void BlockMap::use_new_leaf(PageNumber number, Pbn pbn) {
  if (leaf_index_.find(number.value()) != nullptr) return;  // somebody has begun to read it
  MapPage* const page = try_take_frame();
  if (page == nullptr) return;
  page->number = number;
  page->pbn = pbn;
  page->dirty_since = JournalSequence{0};
  page->newest = {};
  format_page(page->block(), config_.nonce, pbn);
  leaf_index_.insert(number.value(), static_cast<std::uint32_t>(page - frames_.data()));
  page->state = MapPage::State::ready;
  page->recently_used = true;
  may_be_given_up(*page);
}

/// Wherever this waits somebody else may bring the leaf in, so the cache is asked anew after each
/// wait: a leaf is in one frame only.
Task<Result<LeafPin>> BlockMap::leaf(PageNumber number) {
  while (true) {
    if (auto pin = cached_leaf(number)) co_return pin;
    if (leaf_index_.find(number.value()) != nullptr) {
      ++counters_.wait_for_page;
      co_await changed_.wait();
      continue;
    }
    auto found = co_await find_leaf(number, false);
    if (!found) co_return std::move(found).error();
    // All of it is unmapped.
    if (found->pbn == kZeroPbn) co_return LeafPin();
    if (leaf_index_.find(number.value()) != nullptr) continue;  // somebody was faster
    ++counters_.fetch_required;
    auto frame = co_await take_frame();
    if (!frame) co_return std::move(frame).error();
    MapPage& page = **frame;
    if (leaf_index_.find(number.value()) != nullptr) {
      page.state = MapPage::State::empty;
      may_be_given_up(page);
      continue;
    }
    page.number = number;
    page.pbn = found->pbn;
    // Whoever wants the leaf from here on finds it loading, and waits.
    leaf_index_.insert(number.value(), static_cast<std::uint32_t>(&page - frames_.data()));
    ++counters_.read_count;
    auto loaded = co_await load(page);
    if (!loaded) {
      // The error is this reader's alone: those who wait look again, and read anew.
      ++counters_.failed_reads;
      leaf_index_.erase(number.value());
      page.state = MapPage::State::empty;
      may_be_given_up(page);
      changed_.wake_all();
      co_return std::move(loaded).error();
    }
    ++counters_.pages_loaded;
    page.state = MapPage::State::ready;
    page.recently_used = true;
    may_be_given_up(page);
    changed_.wake_all();
    co_return LeafPin(page);
  }
}

/// A frame for a leaf, which is called loading until it is filled; nullptr if none can be had now.
MapPage* BlockMap::try_take_frame() {
  if (next_fresh_ < frames_.size()) {
    MapPage& page = frames_[next_fresh_++];
    page.state = MapPage::State::loading;
    return &page;
  }
  // Second chance: a page is given up when it was not used since its last turn.
  for (std::size_t turns = 2 * clean_.size(); turns > 0; --turns) {
    MapPage& page = *clean_.oldest();
    clean_.remove(page);
    // A pinned page stays whatever its turn; two rounds are enough to find any that is not.
    if (page.pins > 0 || std::exchange(page.recently_used, false)) {
      clean_.append(page);
      continue;
    }
    // The index forgets the leaf here, before the frame is anything else: nobody finds half of it.
    if (page.state == MapPage::State::ready) leaf_index_.erase(page.number.value());
    ++counters_.discard_required;
    page.state = MapPage::State::loading;
    return &page;
  }
  return nullptr;
}

void BlockMap::may_be_given_up(MapPage& leaf) {
  clean_.append(leaf);
  frame_freed_.wake_one();
}

/// Waits for a frame. Dirty pages are written for it by whoever on_write_back_needed() has named;
/// in read-only mode they stay, as what they hold is nowhere else, and the cache may be full of
/// them.
Task<Result<MapPage*>> BlockMap::take_frame() {
  while (true) {
    if (MapPage* page = try_take_frame()) co_return page;
    if (notifier_.is_read_only() && dirty_leaves_ > 0) {
      co_return Error(Errc::no_memory,
                      "the block map cache is full of pages that cannot be written");
    }
    ++counters_.cache_pressure;
    if (dirty_leaves_ + writing_leaves_ == 0) {
      // All are in use for a moment.
      Alarm moment(executor_);
      co_await moment.sleep(std::chrono::microseconds(20));
      continue;
    }
    ++frames_wanted_;
    if (on_write_back_needed_) on_write_back_needed_();
    co_await frame_freed_.wait();
    --frames_wanted_;
  }
}

/// The caller has the page in state loading, so that nobody else reads or uses it. A page of an
/// earlier volume, or one that was never completed, counts as empty; one of another place ends all
/// writing.
Task<Result<void>> BlockMap::load(MapPage& page) {
  auto done = co_await device_.read(page.pbn, page.block());
  if (!done) co_return done;
  page.dirty_since = JournalSequence{0};
  page.newest = {};
  switch (page_status(page.block(), config_.nonce, page.pbn)) {
    case PageStatus::valid: break;
    case PageStatus::invalid: format_page(page.block(), config_.nonce, page.pbn); break;
    case PageStatus::bad: {
      Error error(Errc::corrupt,
                  fmt::format("the block map page at physical block {} belongs to another place",
                              page.pbn.value()));
      notifier_.enter(error);
      co_return error;
    }
  }
  if (overlay_ != nullptr) lay_over(page.block(), overlay_->of(page.pbn));
  co_return done;
}

// ---- trees

Result<void> BlockMap::check_child(const MapPage& parent, BlockMapping child) const {
  if (config_.slabs.is_valid(child) && !child.is_compressed()) return {};
  return Error(Errc::corrupt,
               fmt::format("the block map page at physical block {} leads to block {}, which "
                           "cannot be a page",
                           parent.pbn.value(), child.pbn.value()));
}

/// Where a leaf is, which is made if there is none and `create` says so.
Task<Result<BlockMap::Child>> BlockMap::find_leaf(PageNumber number, bool create) {
  const TreePath path = tree_path(number);
  auto parent = co_await interior(path.root, 1, index_in_tree(number) / kEntriesPerPage, create);
  if (!parent) co_return std::move(parent).error();
  if (*parent == nullptr) co_return Child{};
  const BlockMapping child = (*parent)->entry(path.slots[1]);
  if (child.pbn != kZeroPbn) {
    if (auto sound = check_child(**parent, child); !sound) co_return std::move(sound).error();
    co_return Child{child.pbn, std::nullopt};
  }
  if (!create) co_return Child{};
  co_return co_await allocate_child(**parent, path.slots[1]);
}

/// The interior page of a height (1..4; 4 is the root) and index; nullptr if there is none.
Task<Result<MapPage*>> BlockMap::interior(std::uint32_t root, unsigned height, std::uint64_t index,
                                          bool create) {
  while (MapPage* page = interior_.find(root, height, index)) {
    if (page->state == MapPage::State::ready) co_return page;
    if (page->state == MapPage::State::empty) break;
    co_await changed_.wait();
  }
  // Roots have fixed places and are always there (volume.md, 6.3).
  if (height == kRootHeight) {
    co_return co_await load_interior(root, height, index, config_.root_origin + root, false);
  }
  // At most three levels deep. Others may bring the page in during each of the waits from here on;
  // load_interior() and allocate_child() look again.
  auto parent = co_await interior(root, height + 1, index / kEntriesPerPage, create);
  if (!parent) co_return std::move(parent).error();
  if (*parent == nullptr) co_return static_cast<MapPage*>(nullptr);
  const auto slot = static_cast<unsigned>(index % kEntriesPerPage);
  const BlockMapping child = (*parent)->entry(slot);
  if (child.pbn != kZeroPbn) {
    if (auto sound = check_child(**parent, child); !sound) co_return std::move(sound).error();
    co_return co_await load_interior(root, height, index, child.pbn, false);
  }
  if (!create) co_return static_cast<MapPage*>(nullptr);
  auto made = co_await allocate_child(**parent, slot);
  if (!made) co_return std::move(made).error();
  auto page = co_await load_interior(root, height, index, made->pbn, made->point.has_value());
  // It is written even if nothing is ever put into it: there may be no block left for its children.
  if (page && made->point) mark_dirty(**page, *made->point);
  co_return page;
}

Task<Result<MapPage*>> BlockMap::load_interior(std::uint32_t root, unsigned height,
                                               std::uint64_t index, Pbn pbn, bool is_new) {
  MapPage* page = nullptr;
  while ((page = interior_.find(root, height, index)) != nullptr) {
    if (page->state == MapPage::State::ready) co_return page;
    if (page->state == MapPage::State::empty) break;  // it could not be read before
    co_await changed_.wait();
  }
  // The memory is for all pages that a map of this size can have, so only a damaged one runs out of
  // it.
  if (page == nullptr) page = interior_.add(root, height, index);
  if (page == nullptr) {
    co_return Error(Errc::no_memory, fmt::format("the block map has more than {} interior pages, "
                                                 "which its size does not allow",
                                                 interior_.size()));
  }
  page->pbn = pbn;
  page->state = MapPage::State::loading;
  Result<void> done;
  if (is_new) {
    format_page(page->block(), config_.nonce, pbn);
  } else {
    done = co_await load(*page);
  }
  // A page that could not be read stays known, but empty: the next who wants it tries again.
  page->state = done ? MapPage::State::ready : MapPage::State::empty;
  changed_.wake_all();
  if (!done) co_return std::move(done).error();
  co_return page;
}

/// The block may have been a page before, lost to a rebuild: its old entries must not come back. It
/// is stable before the entry that makes it a page.
Task<Result<void>> BlockMap::clear_block(Pbn pbn) {
  const MutableBytes page(new_pages_.take(), kBlockSize);
  format_page(page, config_.nonce, pbn);
  auto done = co_await device_.write(pbn, page);
  new_pages_.give_back(page.data());
  if (!done) notifier_.enter(done.error().within("making a block map page"));
  co_return done;
}

/// One at a time makes the child of a slot; the others find it afterwards.
Task<Result<BlockMap::Child>> BlockMap::allocate_child(MapPage& parent, unsigned slot) {
  const NewChild self{&parent, slot};
  const auto must_wait = [&] {
    return new_children_.size() == kNewPagesAtOnce ||
           std::ranges::find(new_children_, self) != new_children_.end();
  };
  // All who wait for it go on in the same turn, so that what they write stays together.
  while (must_wait()) co_await changed_.wait();
  if (const Pbn child = parent.entry(slot).pbn; child != kZeroPbn) {
    co_return Child{child, std::nullopt};
  }
  new_children_.push_back(self);
  auto made = co_await allocate_child_alone(parent, slot);
  new_children_.erase(std::ranges::find(new_children_, self));
  changed_.wake_all();
  co_return made;
}

/// The block is empty on disk before the entry that makes it a page can be stable: the order of the
/// two waits matters. Between commit_page() and change() there is none.
Task<Result<BlockMap::Child>> BlockMap::allocate_child_alone(MapPage& parent, unsigned slot) {
  auto pbn = co_await allocator_.allocate_page();
  if (!pbn) co_return std::move(pbn).error();
  auto ready = co_await clear_block(*pbn);
  if (ready) ready = co_await allocator_.wait_for_room(*pbn);
  if (!ready) co_return std::move(ready).error();
  auto point = allocator_.commit_page(parent.pbn, slot, *pbn);
  if (!point) co_return std::move(point).error();
  change(parent, slot, mapped_to(*pbn), *point);
  co_return Child{*pbn, *point};
}

Task<Result<std::optional<std::uint64_t>>> BlockMap::next_leaf(std::uint32_t root,
                                                               std::uint64_t from,
                                                               std::uint64_t limit) {
  // Descends from the root; where there is nothing, jumps to the end of what would be there.
  while (from < limit) {
    co_await executor_.give_way(!faults_.is_on(Fault::long_request_keeps_turn));
    std::uint64_t span = 1;  // leaves under one entry of the page that is looked at
    for (unsigned h = 1; h < kRootHeight; ++h) span *= kEntriesPerPage;
    bool exists = true;
    for (unsigned height = kRootHeight; height >= 1; --height, span /= kEntriesPerPage) {
      auto page = co_await interior(root, height, from / (span * kEntriesPerPage), false);
      if (!page) co_return std::move(page).error();
      // Along the page, which is there: its parent's entry said so.
      std::uint64_t slot = from / span % kEntriesPerPage;
      const std::uint64_t first = from - from % span - slot * span;
      const std::uint64_t begin = slot;
      while (*page != nullptr && slot < kEntriesPerPage &&
             (*page)->entry(static_cast<unsigned>(slot)).pbn == kZeroPbn) {
        ++slot;
      }
      executor_.spend(kUnitsPerPage + slot - begin);
      if (*page == nullptr || slot == kEntriesPerPage) {
        from = first + span * kEntriesPerPage;
        exists = false;
        break;
      }
      from = std::max(from, first + slot * span);
      if (from >= limit) co_return std::nullopt;
    }
    if (exists) co_return from;
  }
  co_return std::nullopt;
}

// ---- changes

void BlockMap::change(MapPage& page, unsigned slot, BlockMapping mapping, JournalPoint point) {
  // The caller has journaled it: entry and point belong together.
  set_entry(page.block(), slot, mapping);
  mark_dirty(page, point);
}

/// The oldest change holds its journal block until the page is written, the newest is what has to
/// be stable before that. A dirty leaf is in no list of those that may be given up.
void BlockMap::mark_dirty(MapPage& page, JournalPoint point) {
  page.newest = point;
  if (page.is_dirty()) return;
  if (is_leaf(page)) {
    if (!page.writing) clean_.remove(page);
    ++dirty_leaves_;
  }
  page.dirty_since = JournalSequence{point.sequence};
  // The list stays in the order of age, as entries only get newer.
  journal_.lock(RecoveryJournal::Head::block_map, page.dirty_since);
  dirty_.append(page);
}

void BlockMap::set(MapPage& leaf, unsigned slot, BlockMapping mapping, JournalPoint point) {
  change(leaf, slot, mapping, point);
}

void BlockMap::set_run(MapPage& leaf, unsigned slot, std::size_t count, BlockMapping mapping,
                       JournalPoint first, JournalPoint last) {
  for (unsigned i = 0; i < count; ++i) set_entry(leaf.block(), slot + i, mapping);
  // The first point is the one that is held, and the last the one that must be stable: entries of a
  // run are in one journal block.
  mark_dirty(leaf, first);
  leaf.newest = last;
}

/// 0 as long as the journal is young: nothing is too old then.
JournalSequence BlockMap::age_limit() const {
  const std::uint64_t tail = journal_.tail().value();
  return JournalSequence{tail > maximum_age_ ? tail - maximum_age_ : 0};
}

void BlockMap::check_invariants() const {
  std::uint32_t dirty = 0;
  for (const MapPage* page = dirty_.oldest(); page != nullptr; page = page->next) {
    check(page->is_dirty(), "a page that is to be written has changed");
    check(page->state == MapPage::State::ready, "a page that has changed is there");
    dirty += is_leaf(*page) ? 1U : 0U;
  }
  check(dirty == dirty_leaves_, "dirty leaves are counted");
  for (const MapPage* page = clean_.oldest(); page != nullptr; page = page->next) {
    check(is_leaf(*page), "only leaves are given up");
    check(!page->is_dirty() && !page->writing, "no page is given up that is to be written");
    check(page->state != MapPage::State::loading, "no page is given up that is being read");
  }
  check(clean_.size() + dirty <= next_fresh_, "each frame is in one list at most");
  check(leaf_index_.size() <= next_fresh_, "each leaf in memory has a frame");
}

}  // namespace uvdo
