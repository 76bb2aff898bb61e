// SPDX-License-Identifier: GPL-2.0-or-later
// Lookups that wait for something to be read. The lookups of one call form a batch; each of them
// is parked at the page that it needs, and goes on as soon as that page is there. Waiting takes no
// memory: who waits is a link in a batch, and batches are used again.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "async/alarm.h"
#include "index/dedupe_index.h"

namespace uvdo {

struct LookupBatch;

/// How far a lookup has come that needs storage.
struct PendingQuery {
  LookupBatch* batch = nullptr;
  PendingQuery* next = nullptr;  ///< behind it in its parking lot
  std::uint32_t query = 0;       ///< its number within the batch
  bool in_sparse = false;        ///< it is to be sought in the sparse chapters in memory
  std::uint64_t chapter = 0;     ///< otherwise: in this chapter
  std::optional<std::uint32_t> record_page;  ///< as its chapter index says
};

/// The lookups of one call.
struct LookupBatch {
  std::span<IndexQuery> queries;
  /// Those that could not be answered at once. Nothing is added while one of them is parked.
  std::vector<PendingQuery> pending;
  std::uint32_t parked = 0;
  bool abandoned = false;    ///< the caller has given up; `queries` is gone
  Alarm* sleeper = nullptr;  ///< of the caller, while he waits
};

/// Batches that are used again and again.
class LookupBatches {
 public:
  /// Takes the memory for `count` batches of so many lookups now.
  LookupBatches(std::size_t count, std::size_t lookups) : lookups_(lookups) {
    all_.reserve(count);
    spare_.reserve(count);
    for (std::size_t i = 0; i < count; ++i) add();
  }
  [[nodiscard]] LookupBatch& take(std::span<IndexQuery> queries) {
    if (spare_.empty()) add();
    LookupBatch& batch = *spare_.back();
    spare_.pop_back();
    batch.queries = queries;
    return batch;
  }
  /// None of its lookups is parked.
  void give(LookupBatch& batch) {
    batch.pending.clear();
    batch.abandoned = false;
    spare_.push_back(&batch);
  }

 private:
  void add() {
    all_.push_back(std::make_unique<LookupBatch>());
    all_.back()->pending.reserve(lookups_);
    spare_.push_back(all_.back().get());
  }
  std::size_t lookups_;
  std::vector<std::unique_ptr<LookupBatch>> all_;
  std::vector<LookupBatch*> spare_;
};

/// Who waits for one thing, in order of arrival.
/// Links are in the PendingQueries, whose batch outlives them: a lot is no more than two pointers.
class ParkingLot {
 public:
  ParkingLot() = default;
  ParkingLot(ParkingLot&& other) noexcept
      : first_(std::exchange(other.first_, nullptr)), last_(other.last_) {}
  ParkingLot& operator=(ParkingLot&& other) noexcept {
    std::swap(first_, other.first_);
    std::swap(last_, other.last_);
    return *this;
  }
  ~ParkingLot() = default;

  [[nodiscard]] bool empty() const { return first_ == nullptr; }
  void park(PendingQuery& one) {
    one.next = nullptr;
    (first_ == nullptr ? first_ : last_->next) = &one;
    last_ = &one;
  }
  /// The first, which leaves; nullptr if there is none.
  [[nodiscard]] PendingQuery* take() {
    PendingQuery* one = first_;
    if (one != nullptr) first_ = one->next;
    return one;
  }

 private:
  PendingQuery* first_ = nullptr;
  PendingQuery* last_ = nullptr;
};

}  // namespace uvdo
