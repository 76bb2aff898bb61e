// SPDX-License-Identifier: GPL-2.0-or-later
#include "index/sparse_cache.h"

#include <algorithm>

namespace uvdo {

void SparseCache::use(std::uint64_t chapter) {
  const auto it = std::find_if(members_.begin(), members_.end(),
                               [&](const auto& member) { return member->chapter == chapter; });
  if (it != members_.end()) {
    (*it)->misses = 0;
    std::rotate(members_.begin(), it, it + 1);
    return;
  }
  if (members_.size() == kMembers) members_.pop_back();
  auto member = std::make_shared<Member>();
  member->chapter = chapter;
  member->memory = PageMemory(geometry_.index_pages_per_chapter * kIndexPageSize);
  members_.insert(members_.begin(), member);
  ++loading_;
  reads_.start(read(std::move(member)));
}

Task<void> SparseCache::read(std::shared_ptr<Member> member) {
  const std::uint64_t offset = storage_.page_offset(member->chapter, 0);
  const auto result = co_await storage_.device().read(offset, member->memory.bytes());
  for (std::uint32_t i = 0; result && i < geometry_.index_pages_per_chapter; ++i) {
    const ConstBytes page = member->memory.bytes().subspan(i * kIndexPageSize, kIndexPageSize);
    const auto header = decode_index_page(page, storage_.layout().volume_nonce);
    if (!header || header->chapter != member->chapter) break;
    member->headers.push_back(*header);
  }
  member->ready = member->headers.size() == geometry_.index_pages_per_chapter;
  if (!member->ready) std::erase(members_, member);
  if (--loading_ == 0 && !waiting_.empty()) serve_(std::exchange(waiting_, {}));
}

std::optional<SparseCache::Hit> SparseCache::search(const RecordName& name, std::uint64_t oldest) {
  const ChapterPlace place = chapter_place_of(geometry_, name);
  for (const auto& member : members_) {
    if (!member->ready || member->chapter < oldest || member->misses >= kMaxMisses) continue;
    for (std::size_t i = 0; i < member->headers.size(); ++i) {
      if (!member->headers[i].has(place.list)) continue;
      const ConstBytes page = member->memory.bytes().subspan(i * kIndexPageSize, kIndexPageSize);
      const auto record_page = find_in_index_page(geometry_, page, member->headers[i], place, name);
      if (record_page) {
        member->misses = 0;
        return Hit{member->chapter, *record_page};
      }
      break;
    }
    ++member->misses;
  }
  return std::nullopt;
}

}  // namespace uvdo
