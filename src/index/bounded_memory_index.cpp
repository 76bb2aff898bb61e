// SPDX-License-Identifier: GPL-2.0-or-later
#include "index/bounded_memory_index.h"

#include <algorithm>

namespace uvdo {

BoundedMemoryIndex::BoundedMemoryIndex(std::size_t capacity)
    : capacity_(std::max<std::size_t>(capacity, 1)) {}

IndexStatistics BoundedMemoryIndex::statistics() const {
  IndexStatistics statistics = statistics_;
  statistics.entries_indexed = records_.size();
  return statistics;
}

std::uint64_t BoundedMemoryIndex::memory_needed() const {
  // A node of the map with its allocation, a bucket, and a place in the queue.
  constexpr std::uint64_t kBytesPerName = 96;
  return capacity_ * kBytesPerName;
}

Task<void> BoundedMemoryIndex::lookup(std::span<IndexQuery> queries) {
  for (IndexQuery& query : queries) {
    query.found = false;
    if (state_ != IndexState::online) continue;
    if (const auto it = records_.find(query.name); it != records_.end()) {
      query.found = true;
      query.data = it->second;
    }
    ++(query.found ? statistics_.posts_found : statistics_.posts_not_found);
  }
  co_return;
}

void BoundedMemoryIndex::record(const IndexQuery& query, const IndexData& data) {
  if (state_ != IndexState::online) return;
  // A name that comes again keeps its age.
  const auto [it, is_new] = records_.try_emplace(query.name, data);
  if (!is_new) {
    it->second = data;
    ++statistics_.updates_found;
    return;
  }
  if (query.found) ++statistics_.updates_not_found;
  by_age_.push_back(query.name);
  if (records_.size() > capacity_) {
    records_.erase(by_age_.front());
    by_age_.pop_front();
    ++statistics_.entries_discarded;
  }
}

Task<Result<void>> BoundedMemoryIndex::save() {
  state_ = IndexState::closed;
  records_.clear();
  by_age_.clear();
  co_return Result<void>{};
}

void BoundedMemoryIndex::set_enabled(bool enabled) {
  if (state_ == IndexState::closed) return;
  state_ = enabled ? IndexState::online : IndexState::offline;
}

}  // namespace uvdo
