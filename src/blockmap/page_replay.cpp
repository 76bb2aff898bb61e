// SPDX-License-Identifier: GPL-2.0-or-later
#include "blockmap/page_replay.h"

#include <fmt/format.h>

#include "format/block_map_page.h"

namespace uvdo {

PageReplay::PageReplay(Executor& executor, Device& device, const VolumeGeometry& geometry,
                       std::uint64_t nonce, Damage damage)
    : executor_(executor),
      device_(device),
      geometry_(geometry),
      nonce_(nonce),
      damage_(damage),
      blocks_(kPagesAtOnce * kBlockSize) {}

Task<Result<void>> PageReplay::apply() {
  sort_page_changes(changes_);
  std::vector<Page> pages;
  Result<void> done;
  for (std::size_t i = 0; done && i < changes_.size();) {
    std::size_t end = i;
    while (end < changes_.size() && changes_[end].page() == changes_[i].page()) ++end;
    pages.push_back({changes_[i].page(), std::span(changes_).subspan(i, end - i), false, {}});
    i = end;
    if (pages.size() == kPagesAtOnce || i == changes_.size()) {
      done = co_await apply_to(pages);
      pages.clear();
    }
  }
  changes_.clear();
  co_return done;
}

Task<Result<void>> PageReplay::apply_to(std::span<Page> pages) {
  TaskGroup group(executor_);
  for (std::size_t i = 0; i < pages.size(); ++i) group.start(read(pages[i], blocks_.block(i)));
  co_await group.wait();
  bool any_new = false;
  for (std::size_t i = 0; i < pages.size(); ++i) {
    if (!pages[i].result) co_return std::move(pages[i].result);
    for (const PageChange& change : pages[i].changes) {
      if (change.slot() == kEntriesPerPage) continue;  // touched only
      set_entry(blocks_.block(i), change.slot(), change.mapping());
    }
    any_new |= pages[i].is_new;
  }
  if (any_new) {
    // A page without an earlier valid version is made valid only when all of it is there.
    for (std::size_t i = 0; i < pages.size(); ++i) {
      if (pages[i].is_new) group.start(write(pages[i], blocks_.block(i)));
    }
    co_await group.wait();
    for (Page& page : pages) {
      if (!page.result) co_return std::move(page.result);
    }
    auto flushed = co_await device_.flush();
    if (!flushed) co_return flushed;
  }
  for (std::size_t i = 0; i < pages.size(); ++i) {
    set_initialized(blocks_.block(i));
    group.start(write(pages[i], blocks_.block(i)));
  }
  co_await group.wait();
  for (Page& page : pages) {
    if (!page.result) co_return std::move(page.result);
  }
  pages_written_ += pages.size();
  co_return Result<void>();
}

Task<void> PageReplay::read(Page& page, MutableBytes block) {
  page.result = co_await device_.read(geometry_.device_byte(page.pbn), block);
  PageStatus status = PageStatus::bad;
  if (page.result) status = page_status(block, nonce_, page.pbn);
  if (status == PageStatus::valid) co_return;
  if (status == PageStatus::bad) {
    if (damage_ == Damage::fail) {
      if (page.result) {
        page.result =
            Error(Errc::corrupt, fmt::format("the block map page at physical block {} belongs to "
                                             "another place",
                                             page.pbn.value()));
      }
      co_return;
    }
    page.result = Result<void>();
    ++pages_replaced_;
  }
  page.is_new = true;
  format_page(block, nonce_, page.pbn);
}

Task<void> PageReplay::write(Page& page, MutableBytes block) {
  page.result = co_await device_.write(geometry_.device_byte(page.pbn), block);
}

}  // namespace uvdo
