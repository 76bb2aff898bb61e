// SPDX-License-Identifier: GPL-2.0-or-later
// What the volume asks of a deduplication index: where a block with this name was last stored.
// Answers are hints; the volume compares the data before it shares a block. Nothing but
// deduplication is lost when the index forgets, is late or is missing.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "async/task.h"
#include "base/result.h"
#include "format/record_name.h"
#include "statistics/part_statistics.h"

namespace uvdo {

/// The 16 bytes that the index keeps for a name (volume.md, 8); encoded by format/advice.h.
using IndexData = std::array<std::byte, 16>;

/// One lookup of a batch. `found` and `data` are the answer.
struct IndexQuery {
  RecordName name;
  IndexData data{};
  bool found = false;
  /// For the index alone: lets record() find again what lookup() found out.
  std::uint64_t ticket = 0;
};

/// One record() of a batch: where the block of `query` is stored.
struct IndexNote {
  const IndexQuery* query = nullptr;
  IndexData data{};
};

/// Names as in `dmsetup status` (behaviour.md, 13.2).
enum class IndexState : std::uint8_t {
  closed,
  closing,
  error,
  offline,
  online,
  opening,
  suspended,
  unknown
};

[[nodiscard]] std::string_view name_of(IndexState state);

/// Used by one thread, that of the volume's metadata.
/// How it is used: lookup() for the names of a write; then, where a block was made or another
/// found, record() with the same query. There may be any time between the two, and the index may
/// have been closed meanwhile.
class DedupeIndex {
 public:
  DedupeIndex() = default;
  DedupeIndex(const DedupeIndex&) = delete;
  DedupeIndex& operator=(const DedupeIndex&) = delete;
  virtual ~DedupeIndex() = default;

  [[nodiscard]] virtual IndexState state() const = 0;
  [[nodiscard]] virtual IndexStatistics statistics() const = 0;

  /// Lookups that were given up because they took too long.
  [[nodiscard]] virtual std::uint64_t timeouts() const { return 0; }
  /// Names given to record() that the index does not know yet.
  [[nodiscard]] virtual std::uint64_t records_under_way() const { return 0; }
  /// Names given to record() that it could not take, since it was too busy.
  [[nodiscard]] virtual std::uint64_t dropped_records() const { return 0; }
  /// Between offline (answers nothing, notes nothing, is kept and saved) and online, for an index
  /// that has something to keep.
  virtual void set_enabled([[maybe_unused]] bool enabled) {}

  /// Bytes of memory that the index takes at most.
  [[nodiscard]] virtual std::uint64_t memory_needed() const = 0;

  /// Answers each query of a batch. Never fails: what cannot be answered (not online, page not
  /// readable, too slow) is not found. Completes without suspending when no I/O is needed.
  virtual Task<void> lookup(std::span<IndexQuery> queries) = 0;
  /// Notes that the block of `query` (just looked up; the query may be older than other requests)
  /// is stored where `data` says. With query.found it replaces the data found. Never waits.
  virtual void record(const IndexQuery& query, const IndexData& data) = 0;
  /// record() for each of a batch, which takes less time than one after the other.
  virtual void record_all(std::span<const IndexNote> notes) {
    for (const IndexNote& note : notes) record(*note.query, note.data);
  }
  /// Saves what is needed for the next start to find everything again, and goes on. busy: it is
  /// not online.
  virtual Task<Result<void>> checkpoint() { co_return Result<void>(); }
  /// The same, and closes the index.
  virtual Task<Result<void>> save() = 0;

  /// Begins to open an index again that save() has closed, and returns; it is `opening` until then.
  virtual Result<void> reopen() {
    return Error(Errc::unsupported, "this index cannot be reopened");
  }
  /// Gives up what the index knows and makes a new one in its place; also out of state error or
  /// closed. Nobody may save or reopen it meanwhile.
  virtual Task<Result<void>> create_anew() {
    co_return Error(Errc::unsupported, "this index cannot be made anew");
  }
};

}  // namespace uvdo
