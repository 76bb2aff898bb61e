// SPDX-License-Identifier: GPL-2.0-or-later
// A deduplication index in memory alone, for simulations and for volumes without an index region.
// It holds a fixed number of names and forgets the oldest; the same calls give the same answers.
#pragma once

#include <deque>
#include <unordered_map>

#include "index/dedupe_index.h"

namespace uvdo {

/// Nothing of it depends on time or on addresses, as simulations demand.
class BoundedMemoryIndex final : public DedupeIndex {
 public:
  /// An index of at most `capacity` names (at least one), online at once.
  explicit BoundedMemoryIndex(std::size_t capacity);

  [[nodiscard]] IndexState state() const override { return state_; }
  [[nodiscard]] IndexStatistics statistics() const override;
  void set_enabled(bool enabled) override;
  [[nodiscard]] std::uint64_t memory_needed() const override;
  Task<void> lookup(std::span<IndexQuery> queries) override;
  void record(const IndexQuery& query, const IndexData& data) override;
  /// Keeps nothing: closes the index.
  Task<Result<void>> save() override;

 private:
  std::size_t capacity_;
  std::unordered_map<RecordName, IndexData> records_;
  std::deque<RecordName> by_age_;  // the oldest first
  IndexState state_ = IndexState::online;
  IndexStatistics statistics_;
};

}  // namespace uvdo
