// SPDX-License-Identifier: GPL-2.0-or-later
// How dirty pages of the block map get to the disk: never before the journal entries of their
// changes are stable; a page that was never complete on disk in two steps (volume.md, 6.2).
#include <algorithm>
#include <cstring>

#include "blockmap/block_map.h"
#include "device/write_burst.h"

namespace uvdo {
namespace {

/// Work to copy a page and to hand it to the device.
constexpr std::uint64_t kUnitsPerPageWritten = 80;

}  // namespace

MapPage* BlockMap::next_to_write(JournalSequence before, std::size_t& at_least) {
  // Interior pages count as none of `at_least`, which is about frames that come free; those that
  // are older than a wanted leaf are written with it.
  MapPage* page = dirty_.oldest();
  if (page == nullptr || (page->dirty_since >= before && at_least == 0)) return nullptr;
  if (at_least > 0 && is_leaf(*page)) --at_least;
  return page;
}

/// One writer at a time, as there is one set of copies. Pages leave the dirty list before they are
/// copied: what changes them after that makes them dirty anew, with a lock of its own.
Task<Result<void>> BlockMap::write_back(JournalSequence before, std::size_t at_least) {
  co_await writer_.acquire();
  Result<void> done;
  while (done) {
    batch_.clear();
    while (batch_.size() < kWriteBatch) {
      MapPage* page = next_to_write(before, at_least);
      if (page == nullptr) break;
      // In no list from here on: neither given up nor taken for another batch.
      page->writing = true;
      dirty_.remove(*page);
      if (is_leaf(*page)) {
        --dirty_leaves_;
        ++writing_leaves_;
      }
      batch_.push_back(page);
    }
    if (batch_.empty()) break;
    executor_.spend(batch_.size() * kUnitsPerPageWritten);
    co_await executor_.give_way();
    // As they lie on the device, so that neighbours are written together.
    std::ranges::sort(batch_, {}, &MapPage::pbn);
    done = co_await write_pages(batch_, copies_.bytes());
  }
  writer_.release();
  // What was written may have been changed again meanwhile: then somebody must ask for more.
  frame_freed_.wake_one();
  if (!done) {
    notifier_.enter(done.error());
    wake_waiters();
  }
  co_return done;
}

Task<Result<void>> BlockMap::save() {
  // No page has a change in a block behind the tail, so that all are written.
  auto done = co_await write_back(journal_.tail() + 1, 0);
  if (done) check(dirty_.empty(), "pages changed while the block map was saved");
  co_return done;
}

/// Copies, then the journal up to the newest change, then the pages; those that were never complete
/// on disk go twice, with a flush between (volume.md, 6.2). Journal blocks are unlocked only when
/// the writes are done; that they are stable the journal's next flush sees to, before its heads
/// pass them.
Task<Result<void>> BlockMap::write_pages(std::span<MapPage* const> pages, MutableBytes copies) {
  // From here on a further change makes a page dirty anew, held by its own journal block.
  held_.clear();
  JournalPoint newest;
  bool any_new = false;
  for (std::size_t i = 0; i < pages.size(); ++i) {
    MapPage& page = *pages[i];
    std::memcpy(copies.data() + i * kBlockSize, page.bytes, kBlockSize);
    newest = std::max(newest, page.newest);
    held_.push_back(std::exchange(page.dirty_since, JournalSequence{0}));
    any_new |= !is_initialized(page.block());
  }
  const auto copy = [&](std::size_t i) { return copies.subspan(i * kBlockSize, kBlockSize); };
  const auto is_new = [&](std::size_t i) { return !is_initialized(copy(i)); };
  const auto any = [](std::size_t) { return true; };
  Result<void> done;
  // An entry must be stable before a page that has it (behaviour.md, 5.2).
  if (!faults_.is_on(Fault::page_before_entry)) done = co_await journal_.commit(newest);
  if (done && any_new && !faults_.is_on(Fault::new_page_in_one_step)) {
    done = co_await write_copies(pages, copies, is_new);
    ++counters_.flush_count;
    if (done) done = co_await device_.flush();
  }
  for (std::size_t i = 0; i < pages.size(); ++i) set_initialized(copy(i));
  if (done) done = co_await write_copies(pages, copies, any);
  for (std::size_t i = 0; i < pages.size(); ++i) {
    MapPage& page = *pages[i];
    page.writing = false;
    if (is_leaf(page)) --writing_leaves_;
    if (done) {
      // A change that came during the write has its own lock, on a later block or the same.
      journal_.unlock(RecoveryJournal::Head::block_map, held_[i]);
      set_initialized(page.block());
      if (is_leaf(page) && !page.is_dirty()) may_be_given_up(page);
    } else if (!page.is_dirty()) {
      // It must not be given up: what is on disk is older.
      page.dirty_since = held_[i];
      dirty_.append(page);
      if (is_leaf(page)) ++dirty_leaves_;
    }
  }
  if (done) {
    counters_.pages_saved += pages.size();
  } else {
    ++counters_.failed_writes;
  }
  co_return done;
}

/// Writes the copies of those pages whose index is wanted; neighbours as one.
template <typename Predicate>
Task<Result<void>> BlockMap::write_copies(std::span<MapPage* const> pages, ConstBytes copies,
                                          Predicate wanted) {
  WriteBurst burst(executor_, device_);
  for (std::size_t i = 0; i < pages.size();) {
    if (!wanted(i)) {
      ++i;
      continue;
    }
    std::size_t end = i + 1;
    while (end < pages.size() && wanted(end) && pages[end]->pbn == pages[end - 1]->pbn + 1) ++end;
    burst.write(pages[i]->pbn, copies.subspan(i * kBlockSize, (end - i) * kBlockSize));
    counters_.write_count += end - i;
    i = end;
  }
  co_return co_await burst.wait();
}

}  // namespace uvdo
