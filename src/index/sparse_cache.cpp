// SPDX-License-Identifier: GPL-2.0-or-later
#include "index/sparse_cache.h"

#include <algorithm>

namespace uvdo {

SparseCache::SparseCache(Executor& executor, const IndexStorage& storage,
                         const IndexGeometry& geometry, PageCache::Serve serve)
    : storage_(storage), geometry_(geometry), serve_(std::move(serve)), reads_(executor) {
  spare_.reserve(all_.size());
  members_.reserve(kMembers);
  // A dense index has no sparse chapters, and takes no memory for them.
  if (!geometry.sparse) return;
  for (Member& member : all_) {
    member.memory = PageMemory(geometry.index_pages_per_chapter * kIndexPageSize);
    member.headers.reserve(geometry.index_pages_per_chapter);
    spare_.push_back(&member);
  }
}

void SparseCache::use(std::uint64_t chapter) {
  const auto it = std::find_if(members_.begin(), members_.end(),
                               [&](const Member* member) { return member->chapter == chapter; });
  if (it != members_.end()) {
    (*it)->misses = 0;
    std::rotate(members_.begin(), it, it + 1);
    return;
  }
  // The least recently used gives way, also if it is still being read: then its memory comes back
  // when the read ends.
  if (members_.size() == kMembers) drop(*members_.back());
  if (spare_.empty()) return;
  Member& member = *spare_.back();
  spare_.pop_back();
  member.chapter = chapter;
  member.misses = 0;
  member.in_use = true;
  member.loading = true;
  members_.insert(members_.begin(), &member);
  ++loading_;
  reads_.start(read(member));
}

/// Out of members_; its memory is spare when nobody reads into it.
void SparseCache::drop(Member& member) {
  std::erase(members_, &member);
  member.in_use = false;
  member.ready = false;
  if (!member.loading) spare_.push_back(&member);
}

void SparseCache::forget_all() {
  check(loading_ == 0 && waiting_.empty(), "chapters are forgotten that are wanted");
  while (!members_.empty()) drop(*members_.back());
}

Task<void> SparseCache::read(Member& member) {
  const std::uint64_t offset = storage_.page_offset(member.chapter, 0);
  const auto result = co_await storage_.device().read(offset, member.memory.bytes());
  member.headers.clear();
  for (std::uint32_t i = 0; result && i < geometry_.index_pages_per_chapter; ++i) {
    const ConstBytes page = member.memory.bytes().subspan(i * kIndexPageSize, kIndexPageSize);
    const auto header = decode_index_page(page, storage_.layout().volume_nonce);
    // The chapter may be damaged, or written over while it was read.
    if (!header || header->chapter != member.chapter) break;
    member.headers.push_back(*header);
  }
  member.loading = false;
  // It was dropped meanwhile.
  if (!member.in_use) {
    spare_.push_back(&member);
  } else if (member.headers.size() == geometry_.index_pages_per_chapter) {
    member.ready = true;
  } else {
    drop(member);
  }
  if (--loading_ == 0 && !waiting_.empty()) serve_(std::exchange(waiting_, {}));
}

std::optional<SparseCache::Hit> SparseCache::search(const RecordName& name, std::uint64_t oldest) {
  const ChapterPlace place = chapter_place_of(geometry_, name);
  for (Member* member : members_) {
    // One whose chapter has expired is passed over until others push it out.
    if (!member->ready || member->chapter < oldest || member->misses >= kMaxMisses) continue;
    for (std::size_t i = 0; i < member->headers.size(); ++i) {
      if (!member->headers[i].has(place.list)) continue;
      const ConstBytes page = member->memory.bytes().subspan(i * kIndexPageSize, kIndexPageSize);
      const auto record_page = find_in_index_page(geometry_, page, member->headers[i], place, name);
      if (record_page) {
        member->misses = 0;
        return Hit{member->chapter, *record_page};
      }
      // The list is on one page of the chapter only.
      break;
    }
    ++member->misses;
  }
  return std::nullopt;
}

}  // namespace uvdo
