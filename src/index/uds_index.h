// SPDX-License-Identifier: GPL-2.0-or-later
// The deduplication index of a volume, on storage as the kernel's UDS index (index.md).
//
// Names are looked up in the volume index in memory, which says in which chapter a name may be;
// then in that chapter: the open one, a closed one that is still to be written, or pages on
// storage. Unlike the kernel's, a lookup changes nothing, except that what is found in an old
// chapter is put into the open one so that it stays; record() adds what was not found.
//
// All of it runs on the thread of its executor.
//
// What holds here:
// - Chapters oldest_ .. open_->number are in the index; the open one and those in closed_ are in
//   memory, the others on storage. Chapters are written one after the other, in order.
// - The volume index is a hint: what it says is looked for in the chapter before it is an answer.
// - Errors of storage in a lookup are "not found"; an error of writing a chapter stops
//   deduplication (state error) until the index is opened or made anew.
// - No memory is taken by lookups and records while the pools last: all of it is there when the
//   index is opened.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "async/wait_queue.h"
#include "base/fault_points.h"
#include "base/log.h"
#include "base/ring_queue.h"
#include "device/device.h"
#include "index/chapter_index.h"
#include "index/dedupe_index.h"
#include "index/index_storage.h"
#include "index/index_waiters.h"
#include "index/open_chapter.h"
#include "index/page_cache.h"
#include "index/sparse_cache.h"
#include "index/volume_index.h"

namespace uvdo {

struct UdsParameters {
  IndexMemory memory;
  bool sparse = false;
  std::uint64_t region_start = 0;   ///< first block of the index region on the device
  std::uint64_t region_blocks = 0;  ///< at least what compute_index_geometry() says
  std::uint64_t nonce = 0;          ///< the volume's
  bool create = false;              ///< make a new index, whatever is there
  /// A lookup that takes longer is answered "not found".
  Duration lookup_timeout = std::chrono::seconds(5);
  /// Mistakes to be made on purpose, in tests.
  FaultPoints faults;
  /// For tests: sizes that no memory value has.
  std::optional<IndexGeometry> geometry;
  /// For tests: pages of chapters in memory, at least one.
  std::optional<std::uint32_t> cached_pages;
};

/// The kernel's rules are in index.md, 13; index.md, 16.1 says where another implementation is
/// free.
class UdsIndex final : public DedupeIndex {
 public:
  /// Starts to load, rebuild or make the index, and returns at once; the state is `opening` until
  /// that is done. invalid_argument if there is no such index, or no room for it in the region.
  static Result<std::unique_ptr<UdsIndex>> start(Executor& executor, Device& device,
                                                 const UdsParameters& parameters, LogFunction log);
  /// The index must have been closed, by save() or close().
  ~UdsIndex() override;

  [[nodiscard]] IndexState state() const override;
  [[nodiscard]] IndexStatistics statistics() const override;
  [[nodiscard]] std::uint64_t timeouts() const override { return timeouts_; }
  void set_enabled(bool enabled) override { enabled_ = enabled; }
  [[nodiscard]] std::uint64_t memory_needed() const override { return memory_needed_; }
  Task<void> lookup(std::span<IndexQuery> queries) override;
  void record(const IndexQuery& query, const IndexData& data) override;
  void record_all(std::span<const IndexNote> notes) override;
  Task<Result<void>> save() override;

  /// Closes the index without saving it: the next start rebuilds it.
  Task<void> close();
  /// Waits until the index is no longer opening.
  Task<void> wait_opened() { return opening_.wait(); }
  /// Saves, and goes on.
  Task<Result<void>> checkpoint() override;
  Result<void> reopen() override;
  Task<Result<void>> create_anew() override;

  [[nodiscard]] const IndexGeometry& geometry() const { return geometry_; }
  /// The chapters that the index holds: oldest .. newest, the last of them open.
  [[nodiscard]] std::uint64_t oldest_chapter() const { return oldest_; }
  [[nodiscard]] std::uint64_t newest_chapter() const { return open_->number; }
  /// Records that were not kept because chapters are written too slowly.
  [[nodiscard]] std::uint64_t dropped_records() const override { return dropped_records_; }
  /// Waits until all closed chapters are written.
  Task<void> wait_written() { return writing_.wait(); }

 private:
  UdsIndex(Executor& executor, Device& device, const UdsParameters& parameters,
           const IndexGeometry& geometry, LogFunction log);

  // Opening and closing (uds_index.cpp).
  Task<void> open(bool create);
  // What open() tries, in this order: a save, a save and the chapters since, all chapters.
  Task<Result<void>> open_existing();
  Task<Result<void>> load_save(const IndexSave& save);
  Task<Result<void>> load_open_chapter(const IndexSave& save);
  Task<Result<void>> load_page_map(const IndexSave& save);
  Task<Result<void>> write_save();
  /// Returns when no lookup waits, no chapter is written and no page is read.
  Task<void> quiesce();
  [[nodiscard]] std::uint64_t count_memory() const;
  void take_memory();
  void free_memory();
  /// Leaves an index as it is before its first name. Nothing may be under way.
  void forget_all();
  void note(LogLevel level, std::string sentence) const;
  void fail(const Error& error, std::string_view what);

  // Rebuilding (uds_rebuild.cpp).
  /// A name of which it is not known yet whether an older chapter's entry is its own.
  struct Doubtful {
    RecordName name;
    std::uint64_t chapter = 0;
  };
  Task<Result<void>> rebuild();
  Task<Result<bool>> rebuild_from_save(const IndexSave& save);
  void note_rebuilt();
  Task<Result<std::optional<std::uint64_t>>> probe(std::uint64_t slot);
  Task<Result<std::uint64_t>> find_end_of_volume();
  Task<Result<bool>> find_boundaries(std::uint64_t limit);
  Task<Result<void>> replay(std::uint64_t chapter);
  void replay_records(std::uint64_t chapter, ConstBytes page, std::vector<Doubtful>& doubtful);
  Task<Result<bool>> is_in_chapter(std::uint64_t chapter, const RecordName& name);

  // Lookups (uds_lookup.cpp).
  void look_up_group(std::span<IndexQuery> queries, std::uint32_t first, LookupBatch& batch);
  bool answer_from_memory(IndexQuery& query, VolumeSubIndex::Match match, PendingQuery& pending);
  /// These neither wait nor fail.
  ParkingLot* resolve(IndexQuery& query, PendingQuery& pending);
  PageCache::Page* page_of(std::uint64_t chapter, std::uint32_t page);
  void finish(IndexQuery& query, std::uint64_t chapter, const IndexData* data);
  void serve(ParkingLot parked);
  Task<void> wait_for(LookupBatch& batch);
  [[nodiscard]] bool is_sparse(std::uint64_t chapter) const;
  [[nodiscard]] const OpenChapter* chapter_in_memory(std::uint64_t chapter) const;
  bool can_take_record();
  template <class Name>
  void prefetch(std::size_t count, Name&& name_at, VolumeIndex::Access access,
                std::span<VolumeIndex::Place> places);
  void record_at(const VolumeIndex::Place& place, const IndexQuery& query, const IndexData& data);

  // Chapters (uds_chapters.cpp).
  /// The open one, one that is being written and one that waits.
  static constexpr std::size_t kChaptersInMemory = 3;
  /// What it takes to write a chapter.
  struct ChapterRoom {
    explicit ChapterRoom(const IndexGeometry& geometry);
    PageMemory record_pages;
    PageMemory index_pages;
    ChapterIndexRoom order;
  };
  /// Plain functions: a record is noted, and a full chapter closed, in the middle of a request.
  void close_chapter();
  Task<void> write_chapters();
  Task<Result<void>> write_chapter(const OpenChapter& chapter);
  void give_chapter(std::unique_ptr<OpenChapter> chapter);
  std::unique_ptr<OpenChapter> take_chapter();

  Executor& executor_;
  Device& device_;
  UdsParameters parameters_;
  IndexGeometry geometry_;
  LogFunction log_;
  IndexStorage storage_;
  std::uint64_t memory_needed_ = 0;
  std::unique_ptr<VolumeIndex> names_;  // nothing while the index is closed
  IndexPageMap page_map_;
  LookupBatches batches_;
  // What takes much memory; nothing of it is there while the index is closed.
  std::unique_ptr<PageCache> pages_;
  std::unique_ptr<SparseCache> sparse_;
  std::unique_ptr<ChapterRoom> room_;

  // The oldest chapter that counts; the slots of older ones may be written over.
  std::uint64_t oldest_ = 0;
  std::unique_ptr<OpenChapter> open_;
  RingQueue<std::unique_ptr<OpenChapter>> closed_;  // the oldest first; it is being written
  std::vector<std::unique_ptr<OpenChapter>> spare_;
  TaskGroup writing_;

  IndexState state_ = IndexState::opening;
  bool enabled_ = true;
  bool stop_opening_ = false;
  // Whether anything was asked since the last save (index.md, 6.5), and whether the newest save is
  // still one that a start may load (6.4).
  bool must_save_ = false;
  bool has_saved_open_chapter_ = false;
  TaskGroup opening_;
  // Callers of lookup() that wait for storage: whoever closes the index waits for them.
  std::uint64_t lookups_waiting_ = 0;
  WaitQueue lookups_done_;

  IndexStatistics statistics_;
  std::uint64_t timeouts_ = 0;
  std::uint64_t dropped_records_ = 0;
};

}  // namespace uvdo
