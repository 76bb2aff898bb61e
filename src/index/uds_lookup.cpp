// SPDX-License-Identifier: GPL-2.0-or-later
// Lookups and records of the index (index.md, 13).
// What memory does not answer goes through the sparse chapters in memory, the chapter's index page
// and its record page, and may have to wait for each. PendingQuery says how far it is; resolve() is
// called again from wherever it was parked.
#include <algorithm>
#include <array>

#include "index/uds_index.h"

namespace uvdo {
namespace {

/// As many lookups as are prefetched together.
constexpr std::size_t kGroup = 16;

/// What lookup() leaves for record(): that the plain entry of the name's place, which names this
/// chapter, is another name's; or nothing.
constexpr std::uint64_t foreign_ticket(std::uint64_t chapter) { return chapter + 1; }

}  // namespace

/// Whether the volume index knows only samples ("hooks") of the chapter: it is older than the dense
/// part of the window.
bool UdsIndex::is_sparse(std::uint64_t chapter) const {
  return geometry_.sparse_chapters > 0 && open_->number - oldest_ + 1 > geometry_.dense_chapters &&
         chapter + geometry_.dense_chapters <= open_->number;
}

const OpenChapter* UdsIndex::chapter_in_memory(std::uint64_t chapter) const {
  if (chapter == open_->number) return open_.get();
  for (std::size_t i = 0; i < closed_.size(); ++i) {
    if (closed_[i]->number == chapter) return closed_[i].get();
  }
  return nullptr;
}

/// Memory answers most names, a group at a time; the others are parked at the page that each needs,
/// and the caller waits for all of its own at once, lookup_timeout at most. Nothing of `queries` is
/// touched after that: a batch that was given up keeps its own state until the last parked one was
/// woken.
Task<void> UdsIndex::lookup(std::span<IndexQuery> queries) {
  for (IndexQuery& query : queries) {
    query.found = false;
    query.ticket = 0;
  }
  if (state() != IndexState::online) co_return;
  must_save_ = true;
  // First all that memory can say, group by group; then those that need storage, all side by side.
  LookupBatch& batch = batches_.take(queries);
  for (std::size_t first = 0; first < queries.size(); first += kGroup) {
    const std::size_t count = std::min(kGroup, queries.size() - first);
    look_up_group(queries.subspan(first, count), static_cast<std::uint32_t>(first), batch);
  }
  for (PendingQuery& one : batch.pending) {
    ParkingLot* lot = resolve(queries[one.query], one);
    if (lot == nullptr) continue;
    ++batch.parked;
    lot->park(one);
  }
  if (batch.parked > 0) co_await wait_for(batch);
  if (batch.parked == 0) batches_.give(batch);
}

/// Finds the places of some names and has all brought near that a lookup needs, or a record.
template <class Name>
void UdsIndex::prefetch(std::size_t count, Name&& name_at, VolumeIndex::Access access,
                        std::span<VolumeIndex::Place> places) {
  for (std::size_t i = 0; i < count; ++i) {
    const RecordName& name = name_at(i);
    places[i] = names_->place_of(name);
    // The first of the steps that VolumeIndex::prefetch() goes on with.
    places[i].sub->prefetch_start(places[i].at);
    open_->prefetch(name);
  }
  if (count > 1) VolumeIndex::prefetch(places.first(count), access);
}

/// Looks up at most kGroup names; those that need more than memory are pending then.
void UdsIndex::look_up_group(std::span<IndexQuery> queries, std::uint32_t first,
                             LookupBatch& batch) {
  std::array<VolumeIndex::Place, kGroup> places;
  const std::size_t count = queries.size();
  prefetch(
      count, [&](std::size_t i) -> const RecordName& { return queries[i].name; },
      VolumeIndex::Access::lookup, places);
  for (std::size_t i = 0; i < count; ++i) {
    const VolumeSubIndex::Match match = places[i].sub->find(places[i].at, queries[i].name);
    // What is known of it so far; answer_from_memory() adds where it has to be sought.
    PendingQuery one;
    one.batch = &batch;
    one.query = first + static_cast<std::uint32_t>(i);
    if (!answer_from_memory(queries[i], match, one)) batch.pending.push_back(one);
  }
}

/// Answers a lookup for which memory is enough. A sample that lies in a sparse chapter brings the
/// index of that chapter into memory.
bool UdsIndex::answer_from_memory(IndexQuery& query, VolumeSubIndex::Match match,
                                  PendingQuery& pending) {
  // Of old chapters a sparse index knows the samples only: any other name that is not found here
  // may be in one of those whose indexes are in memory.
  const bool is_hook = names_->is_hook(query.name);
  if (match.kind == VolumeSubIndex::Kind::none) {
    if (geometry_.sparse && !is_hook && is_sparse(oldest_)) {
      pending.in_sparse = true;
      return false;
    }
    finish(query, 0, nullptr);
    return true;
  }
  if (const OpenChapter* chapter = chapter_in_memory(match.chapter)) {
    const IndexData* data = chapter->find(query.name);
    // The entry is another name's, which record_at() has to know.
    if (data == nullptr && match.kind == VolumeSubIndex::Kind::plain) {
      query.ticket = foreign_ticket(match.chapter);
    }
    finish(query, match.chapter, data);
    return true;
  }
  // The volume index still names the chapter, but its slot may have been written over.
  if (match.chapter < oldest_) {
    finish(query, 0, nullptr);
    return true;
  }
  // index.md, 14.3: neighbours in time are likely to come again too.
  if (is_hook && is_sparse(match.chapter)) sparse_->use(match.chapter);
  pending.chapter = match.chapter;
  return false;
}

/// The page, ready or being read; nullptr if it can be neither now.
PageCache::Page* UdsIndex::page_of(std::uint64_t chapter, std::uint32_t page) {
  const PageCache::Key key{chapter, page};
  if (PageCache::Page* found = pages_->find(key)) return found;
  return pages_->load(key, storage_.page_offset(chapter, page));
}

/// Goes on with a lookup as far as it gets without waiting. Where it has to be parked; nullptr if
/// it is answered.
ParkingLot* UdsIndex::resolve(IndexQuery& query, PendingQuery& pending) {
  if (pending.in_sparse) {
    if (sparse_->is_loading()) return &sparse_->waiting();
    // The first chapter that knows the address decides, also if its record page then says
    // otherwise.
    const auto hit = sparse_->search(query.name, oldest_);
    if (!hit) {
      finish(query, 0, nullptr);
      return nullptr;
    }
    pending.in_sparse = false;
    pending.chapter = hit->chapter;
    pending.record_page = hit->record_page;
  }
  // The chapter may have been written over since.
  if (pending.chapter < oldest_) {
    finish(query, 0, nullptr);
    return nullptr;
  }
  if (!pending.record_page) {
    // The chapter's index page, then the record page that it names (index.md, 9.4).
    const ChapterPlace place = chapter_place_of(geometry_, query.name);
    const std::uint64_t slot = physical_chapter(geometry_, storage_.layout(), pending.chapter);
    PageCache::Page* index = page_of(pending.chapter, page_map_.page_of(slot, place.list));
    if (index == nullptr) return &pages_->waiting_for_room();
    if (index->state == PageCache::State::loading) return &index->waiting;
    // A page without a header is damaged or could not be read: as if the chapter did not have the
    // name.
    if (index->header) {
      pending.record_page =
          find_in_index_page(geometry_, index->bytes(), *index->header, place, query.name);
    }
    if (!pending.record_page) {
      if (index->header) query.ticket = foreign_ticket(pending.chapter);
      finish(query, pending.chapter, nullptr);
      return nullptr;
    }
  }
  PageCache::Page* page =
      page_of(pending.chapter, geometry_.index_pages_per_chapter + *pending.record_page);
  if (page == nullptr) return &pages_->waiting_for_room();
  if (page->state == PageCache::State::loading) return &page->waiting;
  const auto data = find_in_record_page(page->bytes(), query.name);
  if (!data) query.ticket = foreign_ticket(pending.chapter);
  finish(query, pending.chapter, data ? &*data : nullptr);
  return nullptr;
}

/// Notes the answer. What was found in the older half of the window moves to the open chapter.
void UdsIndex::finish(IndexQuery& query, std::uint64_t chapter, const IndexData* data) {
  if (data == nullptr) {
    ++statistics_.posts_not_found;
    return;
  }
  ++statistics_.posts_found;
  query.found = true;
  query.data = *data;
  // A young record is left where it is: to move each would write whole chapters for nothing new
  // (index.md, 16.1).
  const std::uint64_t window = names_->subs()[0].window();
  if (open_->number - chapter <= window / 2 || state_ != IndexState::online) return;
  const VolumeIndex::Place place = names_->place_of(query.name);
  const VolumeSubIndex::Match match = place.sub->find(place.at, query.name);
  // The entry has changed while the lookup waited: it stands for something newer.
  if (match.kind == VolumeSubIndex::Kind::plain && match.chapter != chapter) return;
  if (!can_take_record()) return;
  open_->put(query.name, *data);
  if (match.kind == VolumeSubIndex::Kind::collision) {
    place.sub->put_collision(place.at, query.name, open_->number);
  } else {
    place.sub->put_plain(place.at, open_->number);
  }
  if (open_->is_full()) close_chapter();
}

/// Whether the open chapter can take a record, which is dropped otherwise. A full one is closed if
/// that is possible.
bool UdsIndex::can_take_record() {
  if (open_->is_full()) close_chapter();
  if (!open_->is_full()) return true;
  ++dropped_records_;
  return false;
}

/// Those who were parked go on.
void UdsIndex::serve(ParkingLot parked) {
  while (PendingQuery* one = parked.take()) {
    LookupBatch& batch = *one->batch;
    if (!batch.abandoned) {
      ParkingLot* lot = resolve(batch.queries[one->query], *one);
      if (lot != nullptr) {
        // It needs another page now; the batch still counts it.
        lot->park(*one);
        continue;
      }
    }
    if (--batch.parked > 0) continue;
    // The last one of the batch: whoever waits for it is woken, or nobody does any more.
    if (batch.abandoned) {
      batches_.give(batch);
    } else if (batch.sleeper != nullptr) {
      batch.sleeper->ring();
    }
  }
}

/// Waits until a batch is answered, but not longer than a client can be expected to wait.
Task<void> UdsIndex::wait_for(LookupBatch& batch) {
  ++lookups_waiting_;
  // Rung when the last of the batch is answered.
  Alarm alarm(executor_, parameters_.faults);
  batch.sleeper = &alarm;
  co_await alarm.sleep(parameters_.lookup_timeout);
  batch.sleeper = nullptr;
  if (batch.parked > 0) {
    batch.abandoned = true;
    timeouts_ += batch.parked;
  }
  if (--lookups_waiting_ == 0) lookups_done_.wake_all();
}

void UdsIndex::record(const IndexQuery& query, const IndexData& data) {
  if (state() != IndexState::online) return;
  record_at(names_->place_of(query.name), query, data);
}

void UdsIndex::record_all(std::span<const IndexNote> notes) {
  std::array<VolumeIndex::Place, kGroup> places;
  // In groups, as lookups are, so that the memory's answers overlap.
  for (; !notes.empty(); notes = notes.subspan(std::min(kGroup, notes.size()))) {
    if (state() != IndexState::online) return;
    const std::size_t count = std::min(kGroup, notes.size());
    prefetch(
        count, [&](std::size_t i) -> const RecordName& { return notes[i].query->name; },
        VolumeIndex::Access::record, places);
    for (std::size_t i = 0; i < count; ++i) record_at(places[i], *notes[i].query, notes[i].data);
  }
}

/// A name may find an entry at its address: its own, which then names the open chapter, or that of
/// another name, beside which it gets a collision entry, with the whole name. Which of the two it
/// is the open and closed chapters tell, or what the lookup has left in the query; without either
/// it counts as its own.
void UdsIndex::record_at(const VolumeIndex::Place& place, const IndexQuery& query,
                         const IndexData& data) {
  must_save_ = true;
  if (!can_take_record()) return;
  const VolumeSubIndex::Match match = place.sub->find_or_put(place.at, query.name, open_->number);
  // Whether the entry that was there stands for this name.
  bool is_ours = match.kind == VolumeSubIndex::Kind::collision;
  if (match.kind == VolumeSubIndex::Kind::plain) {
    const OpenChapter* chapter = chapter_in_memory(match.chapter);
    is_ours = chapter != nullptr ? chapter->find(query.name) != nullptr
                                 : query.ticket != foreign_ticket(match.chapter);
  }
  // What VDO calls an update (index.md, 15): the statistics are the kernel's.
  if (query.found) {
    ++(is_ours ? statistics_.updates_found : statistics_.updates_not_found);
  } else if (is_ours && open_->find(query.name) != nullptr) {
    ++statistics_.updates_found;
  }
  open_->put(query.name, data);
  // Where nothing was there, find_or_put() has made the entry.
  if (match.kind == VolumeSubIndex::Kind::plain && is_ours) {
    place.sub->put_plain(place.at, open_->number);
  } else if (match.kind != VolumeSubIndex::Kind::none) {
    place.sub->put_collision(place.at, query.name, open_->number);
  }
  if (open_->is_full()) close_chapter();
}

}  // namespace uvdo
