// SPDX-License-Identifier: GPL-2.0-or-later
// The sparse chapters whose indexes are in memory: in them names are sought that are no samples.
// A chapter comes in when a sample of it is found, because what was written together is then
// likely to come again together (index.md, 14.3).
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "async/wait_queue.h"
#include "index/chapter_index.h"
#include "index/index_storage.h"
#include "index/index_waiters.h"
#include "index/page_cache.h"

namespace uvdo {

/// The indexes of up to kMembers chapters, some of them still being read. A name that is no sample
/// is sought in all of them, as the volume index does not know it.
class SparseCache {
 public:
  /// Chapters that are kept.
  static constexpr std::size_t kMembers = 7;
  /// Searches in a row that may miss before a member is passed over.
  static constexpr std::uint32_t kMaxMisses = 20000;

  struct Hit {
    std::uint64_t chapter = 0;
    std::uint32_t record_page = 0;
  };

  SparseCache(Executor& executor, const IndexStorage& storage, const IndexGeometry& geometry,
              PageCache::Serve serve);

  /// Makes `chapter` the most recent member. Does nothing if very many are being read.
  void use(std::uint64_t chapter);
  /// Whether a member is being read, so that a search should wait for it.
  [[nodiscard]] bool is_loading() const { return loading_ > 0; }
  [[nodiscard]] ParkingLot& waiting() { return waiting_; }
  /// Where the chapter indexes in memory say that a name is.
  std::optional<Hit> search(const RecordName& name, std::uint64_t oldest);
  Task<void> wait_idle() { return reads_.wait(); }
  /// Forgets all members: chapters will be numbered anew. Nobody may read or wait.
  void forget_all();

 private:
  struct Member {
    std::uint64_t chapter = 0;
    // Ready: its pages are there and sound. Loading: somebody reads into `memory`, perhaps for a
    // member that was dropped meanwhile.
    bool ready = false;
    bool loading = false;
    bool in_use = false;  ///< one of members_
    std::uint32_t misses = 0;
    PageMemory memory;
    std::vector<IndexPageHeader> headers;
  };
  void drop(Member& member);
  Task<void> read(Member& member);

  const IndexStorage& storage_;
  const IndexGeometry& geometry_;
  PageCache::Serve serve_;
  // With as many to spare as are perhaps still being read, though others have taken their places.
  std::array<Member, 2 * kMembers> all_;
  std::vector<Member*> spare_;
  std::vector<Member*> members_;  // the most recent first
  std::uint32_t loading_ = 0;
  ParkingLot waiting_;
  TaskGroup reads_;
};

}  // namespace uvdo
