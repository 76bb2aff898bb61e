// SPDX-License-Identifier: GPL-2.0-or-later
#include "index/page_cache.h"

#include <cstring>
#include <utility>

namespace uvdo {

PageCache::PageCache(Executor& executor, Device& device, const IndexGeometry& geometry,
                     std::uint32_t pages, Serve serve)
    : device_(device),
      geometry_(geometry),
      pages_per_chapter_(geometry.index_pages_per_chapter + geometry.record_pages_per_chapter),
      serve_(std::move(serve)),
      memory_(std::uint64_t{pages} * kIndexPageSize),
      pages_(pages),
      by_number_(pages),
      reads_(executor) {}

void PageCache::unlink(Page& page) {
  (page.newer != nullptr ? page.newer->older : newest_) = page.older;
  (page.older != nullptr ? page.older->newer : oldest_) = page.newer;
}

void PageCache::link_newest(Page& page) {
  page.newer = nullptr;
  page.older = newest_;
  (newest_ != nullptr ? newest_->newer : oldest_) = &page;
  newest_ = &page;
}

PageCache::Page* PageCache::find(Key key) {
  // Its place in the order does not change.
  if (newest_ != nullptr && newest_->has_key && newest_->key == key) return newest_;
  Page* const* found = by_number_.find(number_of(key));
  if (found == nullptr) return nullptr;
  Page& page = **found;
  unlink(page);
  link_newest(page);
  return &page;
}

/// The page stays in the list and is taken when its turn comes.
void PageCache::forget_key(Page& page) {
  if (std::exchange(page.has_key, false)) by_number_.erase(number_of(page.key));
}

/// A page for another key, its bytes those of before; nullptr if none can be taken now.
PageCache::Page* PageCache::take_page(Key key) {
  Page* page = nullptr;
  if (used_ < pages_.size()) {
    page = &pages_[used_];
    page->data = memory_.data() + used_ * kIndexPageSize;
    ++used_;
  } else {
    // The least recently used that may be taken.
    page = oldest_;
    while (page != nullptr && (page->state == State::loading || page->in_use)) page = page->newer;
    if (page == nullptr) return nullptr;
    unlink(*page);
    forget_key(*page);
  }
  page->header.reset();
  page->key = key;
  page->has_key = true;
  by_number_.insert(number_of(key), page);
  link_newest(*page);
  return page;
}

/// Checks the header of an index page, once for all its uses.
void PageCache::understand(Page& page) {
  page.header.reset();
  if (page.key.page >= geometry_.index_pages_per_chapter) return;
  page.header = decode_index_page(page.bytes(), nonce_);
  if (page.header && page.header->chapter != page.key.chapter) page.header.reset();
}

PageCache::Page* PageCache::load(Key key, std::uint64_t offset) {
  Page* page = take_page(key);
  if (page == nullptr) return nullptr;
  page->state = State::loading;
  reads_.start(read(*page, offset));
  return page;
}

/// Whoever is served may be answered, or be parked at another page.
Task<void> PageCache::read(Page& page, std::uint64_t offset) {
  const MutableBytes buffer{page.data, kIndexPageSize};
  const auto result = co_await device_.read(offset, buffer);
  if (!result) {
    // Zeros carry no nonce and no name: whoever waits finds nothing on the page.
    ++read_errors_;
    std::memset(page.data, 0, kIndexPageSize);
  }
  understand(page);
  page.state = State::ready;
  if (!page.waiting.empty()) {
    // Those who are served may load other pages, and this one must last until all have seen it.
    page.in_use = true;
    serve_(std::exchange(page.waiting, {}));
    page.in_use = false;
  }
  if (!result) forget_key(page);  // who asks for it later tries again
  if (!waiting_for_room_.empty()) serve_(std::exchange(waiting_for_room_, {}));
}

void PageCache::forget_all() {
  check(reads_.running() == 0 && waiting_for_room_.empty(), "pages are forgotten that are wanted");
  for (std::size_t i = 0; i < used_; ++i) {
    forget_key(pages_[i]);
    pages_[i] = Page{};
  }
  used_ = 0;
  newest_ = oldest_ = nullptr;
}

void PageCache::insert(Key key, ConstBytes content) {
  if (find(key) != nullptr) return;
  Page* page = take_page(key);
  // All are being read: then it is read from storage when it is wanted.
  if (page == nullptr) return;
  std::memcpy(page->data, content.data(), kIndexPageSize);
  understand(*page);
  page->state = State::ready;
}

}  // namespace uvdo
