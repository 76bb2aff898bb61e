// SPDX-License-Identifier: GPL-2.0-or-later
// Opening, saving and closing the index (index.md, 6).
#include "index/uds_index.h"

#include <algorithm>

#include <fmt/core.h>

#include "index/device_stream.h"
#include "index/volume_index_save.h"

namespace uvdo {
namespace {

/// The page cache has room for all pages of so many chapters: those of a gibibyte of data that come
/// again. (The kernel's is a quarter larger, and its whole index as large as this one in all.)
constexpr std::uint32_t kCachedChapters = 4;
/// Calls of lookup() that may wait for storage before more memory is taken, and their lookups.
constexpr std::size_t kBatches = 256;
constexpr std::size_t kLookupsPerBatch = 32;

/// Then a new one is made in its place (index.md, 6.2); any other error leaves the region alone.
bool means_no_index(const Error& error) {
  return error.code() == Errc::not_found || error.code() == Errc::corrupt;
}

}  // namespace

Result<std::unique_ptr<UdsIndex>> UdsIndex::start(Executor& executor, Device& device,
                                                  const UdsParameters& parameters,
                                                  LogFunction log) {
  IndexGeometry geometry;
  if (parameters.geometry) {
    geometry = *parameters.geometry;
  } else {
    auto computed = compute_index_geometry(parameters.memory, parameters.sparse);
    if (!computed) return std::move(computed).error();
    geometry = *computed;
  }
  // Before any memory is taken.
  if (parameters.region_blocks < geometry.region_blocks) {
    return Error(Errc::invalid_argument,
                 fmt::format("the deduplication index needs {} blocks, but only {} are reserved "
                             "for it; format the volume with a smaller index",
                             geometry.region_blocks, parameters.region_blocks));
  }
  std::unique_ptr<UdsIndex> index(
      new UdsIndex(executor, device, parameters, geometry, std::move(log)));
  index->opening_.start(index->open(parameters.create));
  return index;
}

UdsIndex::UdsIndex(Executor& executor, Device& device, const UdsParameters& parameters,
                   const IndexGeometry& geometry, LogFunction log)
    : executor_(executor),
      device_(device),
      parameters_(parameters),
      geometry_(geometry),
      log_(std::move(log)),
      storage_(executor, device, geometry_,
               {parameters.region_start, parameters.region_blocks, parameters.nonce}),
      page_map_(geometry_),
      batches_(kBatches, kLookupsPerBatch),
      writing_(executor),
      opening_(executor),
      lookups_done_(executor) {
  take_memory();
  // By the real lists, as they have been made.
  memory_needed_ = count_memory();
}

UdsIndex::~UdsIndex() {
  check(opening_.running() == 0 && writing_.running() == 0 && lookups_waiting_ == 0,
        "an index is destroyed while it is in use");
}

IndexState UdsIndex::state() const {
  return state_ == IndexState::online && !enabled_ ? IndexState::offline : state_;
}

IndexStatistics UdsIndex::statistics() const {
  IndexStatistics statistics = statistics_;
  if (names_ == nullptr) return statistics;
  statistics.entries_indexed = names_->entries();
  statistics.entries_discarded = names_->discarded();
  return statistics;
}

std::uint64_t UdsIndex::count_memory() const {
  // Chapters with their hash tables; pages of a chapter while it is made.
  const std::uint64_t chapter = std::uint64_t{geometry_.records_per_chapter} * (kRecordSize + 8);
  std::uint64_t total = kChaptersInMemory * chapter + chapter;
  total += std::uint64_t{kCachedChapters} * geometry_.pages_per_chapter * kIndexPageSize;
  for (const VolumeSubIndex& sub : names_->subs()) total += sub.capacity_bytes();
  return total + geometry_.page_map_blocks * kBlockSize;
}

void UdsIndex::note(LogLevel level, std::string sentence) const {
  if (log_) log_({level, std::move(sentence)});
}

void UdsIndex::fail(const Error& error, std::string_view what) {
  state_ = IndexState::error;
  note(LogLevel::error, fmt::format("deduplication stops: {}: {}", what, error.message()));
}

/// Takes all the memory that an open index needs, whatever comes; most of it is touched only when
/// it is used.
void UdsIndex::take_memory() {
  const auto serve_all = [this](ParkingLot parked) { serve(std::move(parked)); };
  const std::uint32_t pages =
      parameters_.cached_pages.value_or(kCachedChapters * geometry_.pages_per_chapter);
  pages_ = std::make_unique<PageCache>(executor_, device_, geometry_, pages, serve_all);
  sparse_ = std::make_unique<SparseCache>(executor_, storage_, geometry_, serve_all);
  room_ = std::make_unique<ChapterRoom>(geometry_);
  // Chapters go round between spare_, open_ and closed_; no more are ever made.
  closed_.reserve(kChaptersInMemory);
  spare_.reserve(kChaptersInMemory);
  while (spare_.size() < kChaptersInMemory) {
    spare_.push_back(std::make_unique<OpenChapter>(geometry_.records_per_chapter));
  }
  forget_all();
}

/// Gives it back, for an index that is closed.
void UdsIndex::free_memory() {
  names_.reset();
  pages_.reset();
  sparse_.reset();
  room_.reset();
  open_.reset();
  while (!closed_.empty()) closed_.pop_front();
  spare_.clear();
}

/// Back to an index that knows nothing, not even the pages of its old chapters: the numbers of
/// chapters begin again.
void UdsIndex::forget_all() {
  if (!parameters_.faults.is_on(Fault::cache_kept_over_new_index)) {
    pages_->forget_all();
    sparse_->forget_all();
  }
  page_map_.clear();
  names_.reset();  // before the new ones take their memory
  names_ = std::make_unique<VolumeIndex>(geometry_);
  oldest_ = 0;
  for (; !closed_.empty(); closed_.pop_front()) give_chapter(std::move(closed_.front()));
  if (open_ != nullptr) give_chapter(std::move(open_));
  open_ = take_chapter();
  open_->number = 0;
}

/// Tries what costs least first: what was saved; a save and the chapters after it; all chapters; a
/// new index. An index that cannot be read for an error of the device is left alone, to be tried
/// again.
Task<void> UdsIndex::open(bool create) {
  // start() and reopen() return before anything is read.
  co_await executor_.yield();
  if (!create) {
    const auto opened = co_await open_existing();
    if (opened) {
      state_ = stop_opening_ ? IndexState::closed : IndexState::online;
      co_return;
    }
    if (stop_opening_) {
      state_ = IndexState::closed;
      co_return;
    }
    // An unknown version, or an error of the device: what is there may be good.
    if (!means_no_index(opened.error())) {
      fail(opened.error(), "the deduplication index cannot be opened");
      co_return;
    }
    note(LogLevel::warning,
         fmt::format("a new deduplication index is made: {}", opened.error().message()));
  }
  forget_all();
  const auto created = co_await storage_.create();
  if (!created) {
    fail(created.error(), "the deduplication index cannot be made");
    co_return;
  }
  pages_->set_nonce(storage_.layout().volume_nonce);
  has_saved_open_chapter_ = false;
  must_save_ = true;
  state_ = IndexState::online;
}

/// Each way begins with an index that knows nothing: what a way that failed has read is forgotten.
Task<Result<void>> UdsIndex::open_existing() {
  auto opened = co_await storage_.open();
  if (!opened) co_return std::move(opened).error();
  pages_->set_nonce(storage_.layout().volume_nonce);
  auto saves = co_await storage_.read_saves();
  if (!saves) co_return std::move(saves).error();
  // Only the newest save is tried: chapters may have been written since an older one (index.md,
  // 6.3).
  const auto slot = storage_.newest_save();
  if (slot) {
    const IndexSave& save = storage_.save(*slot);
    const auto loaded = co_await load_save(save);
    if (loaded) {
      has_saved_open_chapter_ = true;
      must_save_ = false;
      co_return Result<void>{};
    }
    forget_all();
    auto replayed = co_await rebuild_from_save(save);
    if (!replayed) co_return std::move(replayed).error();
    if (*replayed || stop_opening_) co_return Result<void>{};
    forget_all();
  }
  auto rebuilt = co_await rebuild();
  co_return rebuilt;
}

Task<Result<void>> UdsIndex::load_save(const IndexSave& save) {
  // Any failure means that the index is rebuilt; so what kind it is does not matter.
  if (save.oldest > save.newest || save.newest - save.oldest > geometry_.chapters) {
    co_return Error(Errc::corrupt, "the chapters of the save are impossible");
  }
  open_->number = save.newest;
  oldest_ = save.oldest;
  // First the part that is destroyed when a save is not to be loaded any more (index.md, 6.4).
  auto open_chapter = co_await load_open_chapter(save);
  if (!open_chapter) co_return std::move(open_chapter).error();
  auto names =
      co_await load_volume_index(executor_, *names_, device_, save.zones,
                                 storage_.layout().volume_nonce, save.newest, save.newest + 1);
  if (!names) co_return std::move(names).error();
  auto map = co_await load_page_map(save);
  co_return map;
}

Task<Result<void>> UdsIndex::load_open_chapter(const IndexSave& save) {
  // index.md, 11.2: a header and the records, in any order.
  StreamReader stream(device_, save.open_chapter.start, save.open_chapter.blocks);
  auto header = co_await stream.require(OpenChapter::kSavedHeaderSize);
  if (!header) co_return std::move(header).error();
  const auto count = OpenChapter::decode_header(stream.bytes(), geometry_.records_per_chapter);
  // A chapter was written after the save: zeros are in the place of the header.
  if (!count) co_return Error(Errc::corrupt, "the saved open chapter is gone");
  stream.consume(OpenChapter::kSavedHeaderSize);
  for (std::uint32_t i = 0; i < *count; ++i) {
    if (!stream.has(kRecordSize)) {
      auto more = co_await stream.require(kRecordSize);
      if (!more) co_return std::move(more).error();
    }
    IndexRecord record;
    const ConstBytes bytes = stream.bytes();
    std::copy_n(bytes.begin(), record.name.bytes.size(), record.name.bytes.begin());
    std::copy_n(bytes.begin() + 16, record.data.size(), record.data.begin());
    stream.consume(kRecordSize);
    // A chapter that is full would have to be closed at once.
    if (open_->size() + 1 < geometry_.records_per_chapter) open_->put(record.name, record.data);
  }
  co_return Result<void>{};
}

/// index.md, 10. It is needed before the first lookup of a chapter on storage.
Task<Result<void>> UdsIndex::load_page_map(const IndexSave& save) {
  const std::size_t size = page_map_.saved_size();
  if (save.page_map.blocks * kBlockSize < size) {
    co_return Error(Errc::corrupt, "the saved page map is too short");
  }
  const PageMemory bytes((size + kBlockSize - 1) / kBlockSize * kBlockSize);
  auto read = co_await device_.read(save.page_map.start * kBlockSize, bytes.bytes());
  if (!read) co_return std::move(read).error();
  if (!page_map_.decode(bytes.bytes())) co_return Error(Errc::corrupt, "no saved page map");
  co_return Result<void>{};
}

/// Lets all that is under way come to its end.
Task<void> UdsIndex::quiesce() {
  // Lookups first, for they may fill a chapter and start its writing.
  while (lookups_waiting_ > 0) co_await lookups_done_.wait();
  co_await writing_.wait();
  if (pages_ == nullptr) co_return;
  co_await pages_->wait_idle();
  co_await sparse_->wait_idle();
}

/// Nothing changes the index once it is `closing`: lookups under way end and closed chapters are
/// written first. After an error it is not saved, and the next start rebuilds it.
Task<Result<void>> UdsIndex::save() {
  // A rebuild is broken off between two chapters; what it has found out is lost (index.md, 6.6).
  if (state_ == IndexState::opening) {
    stop_opening_ = true;
    co_await opening_.wait();
  }
  const bool online = state_ == IndexState::online;
  if (online) state_ = IndexState::closing;
  co_await quiesce();
  Result<void> result;
  // Writing the last chapters may have failed.
  if (online && state_ == IndexState::closing && must_save_) result = co_await write_save();
  if (state_ != IndexState::error) state_ = IndexState::closed;
  free_memory();
  co_return result;
}

/// As save(), but goes on; `suspended` meanwhile, in which names are neither found nor recorded.
Task<Result<void>> UdsIndex::checkpoint() {
  if (state_ != IndexState::online) {
    co_return Error(Errc::busy, "the deduplication index is not online");
  }
  state_ = IndexState::suspended;
  co_await quiesce();
  Result<void> result;
  if (state_ == IndexState::suspended && must_save_) result = co_await write_save();
  if (state_ == IndexState::suspended) state_ = IndexState::online;
  co_return result;
}

/// What the next start finds is as after a crash, with nothing half written.
Task<void> UdsIndex::close() {
  stop_opening_ = true;
  if (state_ == IndexState::online) state_ = IndexState::closing;
  co_await opening_.wait();
  co_await quiesce();
  if (state_ != IndexState::error) state_ = IndexState::closed;
}

/// As start(), for an index whose memory was given back by save().
Result<void> UdsIndex::reopen() {
  if (state_ != IndexState::closed) {
    return Error(Errc::busy, "the deduplication index is not closed");
  }
  stop_opening_ = false;
  take_memory();
  state_ = IndexState::opening;
  opening_.start(open(false));
  return {};
}

/// Whoever is opening the old index is stopped first; a lookup that began before must not find
/// pages of it afterwards (Fault::cache_kept_over_new_index).
Task<Result<void>> UdsIndex::create_anew() {
  if (state_ == IndexState::closing) {
    co_return Error(Errc::busy, "the deduplication index is being closed");
  }
  stop_opening_ = true;
  if (state_ == IndexState::online) state_ = IndexState::suspended;
  co_await opening_.wait();
  co_await quiesce();
  stop_opening_ = false;
  // It was closed: its memory had been given back.
  if (pages_ == nullptr) take_memory();
  state_ = IndexState::opening;
  opening_.start(open(true));
  co_await opening_.wait();
  if (state_ == IndexState::error) {
    co_return Error(Errc::io, "no new deduplication index could be made");
  }
  co_return Result<void>{};
}

/// A save counts when finish_save() has written the layout that names it; until then the other
/// slot's does.
Task<Result<void>> UdsIndex::write_save() {
  auto slot = co_await storage_.begin_save();
  if (!slot) co_return std::move(slot).error();
  // One zone: any reader takes any number of them.
  IndexSave save = divide_save_area(storage_.layout(), geometry_, *slot, 1);
  save.newest = open_->number;
  save.oldest = oldest_;

  // The three parts, in any order; finish_save() flushes before it writes the header that names
  // them.
  StreamWriter chapter(device_, save.open_chapter.start, save.open_chapter.blocks);
  open_->encode_header(
      {chapter.append(OpenChapter::kSavedHeaderSize), OpenChapter::kSavedHeaderSize});
  for (const IndexRecord& record : open_->records()) {
    chapter.append(record.name.bytes);
    chapter.append(record.data);
    if (!chapter.needs_drain()) continue;
    auto drained = co_await chapter.drain();
    if (!drained) co_return std::move(drained).error();
  }
  auto chapter_written = co_await chapter.finish();
  if (!chapter_written) co_return std::move(chapter_written).error();

  auto names = co_await save_volume_index(executor_, *names_, device_, save.zones[0],
                                          storage_.layout().volume_nonce);
  if (!names) co_return std::move(names).error();

  const std::size_t size = page_map_.saved_size();
  const PageMemory map((size + kBlockSize - 1) / kBlockSize * kBlockSize);
  // The chapter written last; a reader need not care (index.md, 16.1).
  page_map_.encode(save.newest == 0 ? 0 : save.newest - 1, map.bytes());
  auto map_written = co_await device_.write(save.page_map.start * kBlockSize, map.bytes());
  if (!map_written) co_return std::move(map_written).error();

  auto finished = co_await storage_.finish_save(*slot, std::move(save));
  if (!finished) co_return std::move(finished).error();
  has_saved_open_chapter_ = true;
  must_save_ = false;
  co_return Result<void>{};
}

}  // namespace uvdo
