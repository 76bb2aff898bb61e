// SPDX-License-Identifier: GPL-2.0-or-later
// Lookups that wait for something to be read. The lookups of one call form a batch; each of them
// is parked at the page that it needs, and goes on as soon as that page is there.
#pragma once

#include <coroutine>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "index/dedupe_index.h"

namespace uvdo {

/// How far a lookup has come that needs storage.
struct PendingQuery {
  std::uint32_t query = 0;    ///< its number within the batch
  bool in_sparse = false;     ///< it is to be sought in the sparse chapters in memory
  std::uint64_t chapter = 0;  ///< otherwise: in this chapter
  std::optional<std::uint32_t> record_page;  ///< as its chapter index says
};

/// The lookups of one call that could not be answered at once.
struct LookupBatch {
  std::span<IndexQuery> queries;
  std::uint32_t remaining = 0;
  bool abandoned = false;  ///< the caller has given up; `queries` is gone
  std::coroutine_handle<> sleeper{};
};

/// Who waits for one thing.
struct ParkedQuery {
  std::shared_ptr<LookupBatch> batch;
  PendingQuery query;
};
using ParkingLot = std::vector<ParkedQuery>;

}  // namespace uvdo
