// SPDX-License-Identifier: GPL-2.0-or-later
#include "blockmap/page_replay.h"

#include <fmt/core.h>

#include "device/write_burst.h"
#include "format/block_map_page.h"

namespace uvdo {

std::vector<ReplayRanges::Range> ReplayRanges::ranges(std::uint64_t limit) const {
  std::vector<Range> ranges(1);
  std::uint64_t changes = 0;
  for (std::uint64_t i = 0; i < kSlices; ++i) {
    // A range ends before the slice that would be too much; a slice is never cut.
    if (changes > 0 && changes + changes_[i] > limit) {
      ranges.back().end = i * slice_;
      ranges.push_back({i * slice_, UINT64_MAX});
      changes = 0;
    }
    changes += changes_[i];
  }
  return ranges;
}

PageReplay::PageReplay(Executor& executor, PbnDevice device, std::uint64_t nonce, Damage damage,
                       std::size_t batch)
    : executor_(executor),
      device_(device),
      nonce_(nonce),
      damage_(damage),
      batch_(batch),
      blocks_(kPagesAtOnce * kBlockSize) {}

Task<Result<void>> PageReplay::apply() {
  // By page, so that each is read and written once for all of its changes, neighbours together.
  sort_page_changes(changes_);
  std::vector<Page> pages;
  Result<void> done;
  for (std::size_t i = 0; done && i < changes_.size();) {
    std::size_t end = i;
    while (end < changes_.size() && changes_[end].page() == changes_[i].page()) ++end;
    pages.push_back({changes_[i].page(), std::span(changes_).subspan(i, end - i)});
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
  const auto any = [](const Page&) { return true; };
  const auto is_new = [](const Page& page) { return page.is_new; };
  const std::vector<Run> all = runs_of(pages, any);
  Result<void> done;
  TaskGroup group(executor_);
  // Read side by side; each run is one request.
  for (const Run run : all) group.start(read(pages, run, done));
  co_await group.wait();
  if (!done) co_return done;
  for (std::size_t i = 0; i < pages.size(); ++i) {
    done = prepare(pages[i], blocks_.block(i));
    if (!done) co_return done;
    for (const PageChange& change : pages[i].changes) {
      if (change.slot() == kEntriesPerPage) continue;  // touched only
      set_entry(blocks_.block(i), change.slot(), change.mapping());
    }
  }
  // The pages hold their changes. Those that are new go out uninitialized first (volume.md, 6.2):
  // torn, they still count as empty, and the replay is repeated.
  const std::vector<Run> made = runs_of(pages, is_new);
  if (!made.empty()) {
    // A page without an earlier valid version is made valid only when all of it is there.
    done = co_await write_runs(pages, made);
    if (done) done = co_await device_.flush();
    if (!done) co_return done;
  }
  for (std::size_t i = 0; i < pages.size(); ++i) set_initialized(blocks_.block(i));
  co_return co_await write_runs(pages, all);
}

template <typename Predicate>
std::vector<PageReplay::Run> PageReplay::runs_of(std::span<const Page> pages, Predicate wanted) {
  std::vector<Run> runs;
  for (std::size_t i = 0; i < pages.size(); ++i) {
    if (!wanted(pages[i])) continue;
    // Neighbours in memory too: page i is block i of blocks_.
    const bool goes_on = !runs.empty() && runs.back().first + runs.back().count == i &&
                         pages[i].pbn == pages[i - 1].pbn + 1;
    if (goes_on) {
      ++runs.back().count;
    } else {
      runs.push_back({i, 1});
    }
  }
  return runs;
}

Task<void> PageReplay::read(std::span<Page> pages, Run run, Result<void>& result) {
  auto done = co_await device_.read(pages[run.first].pbn, blocks_of(run));
  if (done) co_return;
  if (damage_ == Damage::fail) {
    result = std::move(done);
    co_return;
  }
  // One of them cannot be read: which?
  for (std::size_t i = run.first; i < run.first + run.count; ++i) {
    auto read = co_await device_.read(pages[i].pbn, MutableBytes(blocks_.block(i)));
    pages[i].is_unreadable = !read;
  }
}

/// Makes a page of what was read if it is none.
Result<void> PageReplay::prepare(Page& page, MutableBytes block) {
  const PageStatus status =
      page.is_unreadable ? PageStatus::bad : page_status(block, nonce_, page.pbn);
  if (status == PageStatus::valid) return {};
  if (status == PageStatus::bad) {
    if (damage_ == Damage::fail) {
      return Error(Errc::corrupt, fmt::format("the block map page at physical block {} belongs to "
                                              "another place",
                                              page.pbn.value()));
    }
    ++pages_replaced_;
  }
  // An empty page whose changes are laid into it: what it held belongs to an earlier volume, or to
  // whoever had the block before.
  page.is_new = true;
  format_page(block, nonce_, page.pbn);
  return {};
}

Task<Result<void>> PageReplay::write_runs(std::span<const Page> pages,
                                          const std::vector<Run>& runs) {
  WriteBurst burst(executor_, device_);
  for (const Run run : runs) {
    burst.write(pages[run.first].pbn, blocks_of(run));
  }
  co_return co_await burst.wait();
}

}  // namespace uvdo
