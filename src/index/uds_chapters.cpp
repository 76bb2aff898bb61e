// SPDX-License-Identifier: GPL-2.0-or-later
// Closing chapters and writing them in the background (index.md, 12).
// A chapter goes from open_ to closed_ when it is full, is searched in memory until it is written,
// and gives its memory back then. There is one writer, which takes the oldest.
#include <algorithm>

#include <fmt/core.h>

#include "index/uds_index.h"

namespace uvdo {
namespace {

/// Record pages written by one request.
constexpr std::uint32_t kPagesPerWrite = 8;
/// Record pages that are sorted before others get their turn.
constexpr std::uint32_t kPagesPerTurn = 4;

}  // namespace

UdsIndex::ChapterRoom::ChapterRoom(const IndexGeometry& geometry)
    : record_pages(std::uint64_t{kPagesPerWrite} * kIndexPageSize),
      index_pages(std::uint64_t{geometry.index_pages_per_chapter} * kIndexPageSize),
      order(geometry) {}

std::unique_ptr<OpenChapter> UdsIndex::take_chapter() {
  std::unique_ptr<OpenChapter> chapter = std::move(spare_.back());
  spare_.pop_back();
  return chapter;
}

void UdsIndex::give_chapter(std::unique_ptr<OpenChapter> chapter) {
  chapter->clear();
  spare_.push_back(std::move(chapter));
}

/// Closes the full open chapter and opens the next one, if there is a chapter to spare; otherwise
/// new records are dropped until one has been written.
void UdsIndex::close_chapter() {
  // The device is slower than names come: the open chapter stays full.
  if (spare_.empty()) return;
  const std::uint64_t newest = open_->number + 1;
  closed_.push_back(std::move(open_));
  open_ = take_chapter();
  open_->number = newest;
  names_->advance_to(newest);
  // Chapters whose slots are going to be written over are not searched from here on.
  oldest_ += chapters_to_expire(geometry_, storage_.layout(), newest);
  if (writing_.running() == 0) writing_.start(write_chapters());
}

Task<void> UdsIndex::write_chapters() {
  // The caller is in the middle of a request.
  co_await executor_.yield();
  while (!closed_.empty() && state_ != IndexState::error) {
    // Before the first chapter after a save is written (index.md, 6.4): loaded later, the save
    // would not know it, and would name chapters that are written over.
    if (has_saved_open_chapter_) {
      const auto discarded = co_await storage_.discard_saved_open_chapter();
      if (!discarded) {
        fail(discarded.error(), "the saved state cannot be invalidated");
        break;
      }
      has_saved_open_chapter_ = false;
    }
    const auto written = co_await write_chapter(*closed_.front());
    if (!written) {
      fail(written.error(), fmt::format("chapter {} cannot be written", closed_.front()->number));
      break;
    }
    give_chapter(std::move(closed_.front()));
    closed_.pop_front();
    // It could not be closed while there was no chapter to spare.
    if (open_->is_full()) close_chapter();
  }
}

Task<Result<void>> UdsIndex::write_chapter(const OpenChapter& chapter) {
  const IndexGeometry& g = geometry_;
  const std::uint64_t slot = physical_chapter(g, storage_.layout(), chapter.number);
  // Record pages first, and stable before the index pages that vouch for them.
  const PageMemory& staging = room_->record_pages;
  for (std::uint32_t first = 0; first < g.record_pages_per_chapter; first += kPagesPerWrite) {
    const std::uint32_t count = std::min(kPagesPerWrite, g.record_pages_per_chapter - first);
    for (std::uint32_t i = 0; i < count; ++i) {
      const auto records =
          chapter.records().subspan((std::size_t{first} + i) * kRecordsPerPage, kRecordsPerPage);
      encode_record_page(records, staging.bytes().subspan(i * kIndexPageSize, kIndexPageSize));
      if (i % kPagesPerTurn == kPagesPerTurn - 1) co_await executor_.next_turn();
    }
    const std::uint64_t offset = storage_.slot_page_offset(slot, g.index_pages_per_chapter + first);
    const ConstBytes content = staging.bytes().first(count * kIndexPageSize);
    auto written = co_await device_.write(offset, content);
    if (!written) co_return std::move(written).error();
  }
  auto flushed = co_await device_.flush();
  if (!flushed) co_return std::move(flushed).error();

  const PageMemory& index = room_->index_pages;
  co_await encode_chapter_index(executor_, g, storage_.layout().volume_nonce, chapter.number,
                                chapter.records(), index.bytes(), page_map_.last_lists(slot),
                                room_->order);
  auto written = co_await device_.write(storage_.slot_page_offset(slot, 0), index.bytes());
  if (!written) co_return std::move(written).error();
  // (Those are stable before the next chapter has any: its record pages are flushed between them.)
  for (std::uint32_t i = 0; i < g.index_pages_per_chapter; ++i) {
    // Lookups of a young chapter need its index pages, and they are in memory now.
    pages_->insert({chapter.number, i}, index.bytes().subspan(i * kIndexPageSize, kIndexPageSize));
  }
  co_return Result<void>{};
}

}  // namespace uvdo
