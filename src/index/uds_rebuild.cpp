// SPDX-License-Identifier: GPL-2.0-or-later
// Rebuilding the volume index from the chapters on storage after a crash (index.md, 6.6): all
// of it, or, where a save is there, from the chapters written since (16.1).
#include <algorithm>
#include <cstring>

#include <fmt/core.h>

#include "index/uds_index.h"
#include "index/volume_index_save.h"

namespace uvdo {
namespace {

// Pages of records that are read at once, and records whose places are prefetched together.
constexpr std::uint32_t kPagesPerRead = 16;
constexpr std::size_t kReplayGroup = 16;
/// How many entries of a chapter are compared with older chapters on storage; beyond that a name
/// that shares its place with an older one is taken to be the same.
constexpr std::size_t kMaxDoubtful = 64;
// index.md, 6.6, step 2: beyond that it gives up.
constexpr std::uint64_t kMaxBadChapters = 100;
/// Work to replay a page of records, and to see whether the lists of an index page are sound.
constexpr std::uint64_t kUnitsPerPage = 10'000;

}  // namespace

/// The chapter in a slot of the volume; nothing if there is no sound one.
Task<Result<std::optional<std::uint64_t>>> UdsIndex::probe(std::uint64_t slot) {
  const std::uint32_t pages = geometry_.index_pages_per_chapter;
  const PageMemory memory(std::uint64_t{pages} * kIndexPageSize);
  const std::optional<std::uint64_t> bad;
  auto read = co_await device_.read(storage_.slot_page_offset(slot, 0), memory.bytes());
  // A chapter that cannot be read is as good as none.
  if (!read) co_return bad;
  std::uint64_t chapter = kNoChapter;
  std::uint32_t next_list = 0;
  for (std::uint32_t i = 0; i < pages; ++i) {
    const ConstBytes page = memory.bytes().subspan(i * kIndexPageSize, kIndexPageSize);
    co_await executor_.give_way();
    executor_.spend(kUnitsPerPage);
    const auto header = decode_index_page(page, storage_.layout().volume_nonce);
    if (!header || header->chapter == kNoChapter || header->first_list != next_list) co_return bad;
    // A chapter that was half written over has pages of two.
    if (i > 0 && header->chapter != chapter) co_return bad;
    if (!are_lists_sound(geometry_, page, *header)) co_return bad;
    chapter = header->chapter;
    next_list += header->lists;
  }
  // Sound in itself, but in the wrong place.
  if (physical_chapter(geometry_, storage_.layout(), chapter) != slot) co_return bad;
  co_return std::optional<std::uint64_t>(chapter);
}

/// The number of slots from the first on among which all chapters are.
Task<Result<std::uint64_t>> UdsIndex::find_end_of_volume() {
  // From the top down, in steps that double while nothing is found and halve again when something
  // is: step 1 of index.md, 6.6.
  std::uint64_t limit = geometry_.chapters;
  std::uint64_t span = 1;
  std::uint32_t tries = 0;
  while (limit > 0) {
    const std::uint64_t slot = span > limit ? 0 : limit - span;
    auto chapter = co_await probe(slot);
    if (!chapter) co_return std::move(chapter).error();
    if (!*chapter) {
      limit = slot;
      if (++tries > 1) span *= 2;
    } else {
      if (span == 1) break;
      span /= 2;
      tries = 0;
    }
  }
  co_return limit;
}

/// Sets oldest_ and the number of the open chapter from what lies in the first `limit` slots.
/// False if that makes no sense.
Task<Result<bool>> UdsIndex::find_boundaries(std::uint64_t limit) {
  const IndexLayout& layout = storage_.layout();
  // A bad chapter counts as newer than all others (step 2 of index.md, 6.6).
  const auto or_never = [](const std::optional<std::uint64_t>& chapter) {
    return chapter.value_or(kNoChapter);
  };
  auto first = co_await probe(0);
  if (!first) co_return std::move(first).error();
  const std::uint64_t zero = or_never(*first);
  std::uint64_t moved = kNoChapter;
  if (layout.remapped_physical > 0) {
    auto there = co_await probe(layout.remapped_physical);
    if (!there) co_return std::move(there).error();
    if (or_never(*there) == layout.remapped_virtual) moved = layout.remapped_physical;
  }
  // Slots from 0 up hold ascending chapters, up to where the ring has gone round: a search for the
  // first that is older than the one in slot 0.
  std::uint64_t left = 0;
  std::uint64_t right = limit;
  while (left < right) {
    std::uint64_t middle = (left + right) / 2;
    // A moved chapter is out of the order, and must not be compared with.
    if (middle == moved) --middle;
    auto chapter = co_await probe(middle);
    if (!chapter) co_return std::move(chapter).error();
    if (zero <= or_never(*chapter)) {
      left = middle + 1;
      if (left == moved) ++left;
    } else {
      right = middle;
    }
  }
  if (left >= limit) left = 0;
  auto low = co_await probe(left);
  if (!low) co_return std::move(low).error();
  std::uint64_t lowest = or_never(*low);
  if (moved != kNoChapter && lowest == layout.remapped_virtual + 1) {
    lowest = layout.remapped_virtual;
  }
  // The newest is the first sound one before the oldest, going backwards round the ring.
  std::optional<std::uint64_t> highest;
  for (std::uint64_t bad = 0; bad < kMaxBadChapters && !highest; ++bad) {
    right = (right + limit - 1) % limit;
    if (right == moved) right = (right + limit - 1) % limit;
    auto chapter = co_await probe(right);
    if (!chapter) co_return std::move(chapter).error();
    highest = *chapter;
  }
  if (!highest || lowest > *highest || *highest - lowest >= geometry_.chapters) co_return false;
  open_->number = *highest + 1;
  oldest_ = lowest;
  // The open chapter takes the slot of the oldest one (step 3).
  if (open_->number == oldest_ + geometry_.chapters) ++oldest_;
  co_return true;
}

Task<Result<void>> UdsIndex::rebuild() {
  auto limit = co_await find_end_of_volume();
  if (!limit) co_return std::move(limit).error();
  if (*limit > 0) {
    auto sensible = co_await find_boundaries(*limit);
    if (!sensible) co_return std::move(sensible).error();
    if (!*sensible) {
      co_return Error(Errc::corrupt, "the chapters of the deduplication index make no sense");
    }
    note(LogLevel::warning, fmt::format("the deduplication index is rebuilt from chapters {} to {}",
                                        oldest_, open_->number - 1));
    const std::uint64_t newest = open_->number;
    // Step 4: in ascending order, so that the newest chapter of a name is the one that stays.
    names_->set_range(oldest_, oldest_);
    for (std::uint64_t chapter = oldest_; chapter < newest && !stop_opening_; ++chapter) {
      auto replayed = co_await replay(chapter);
      if (!replayed) co_return std::move(replayed).error();
    }
    names_->advance_to(newest);
    note_rebuilt();
  } else {
    note(LogLevel::notice,
         "the deduplication index was not saved, and no chapter of it was written: it is empty");
  }
  has_saved_open_chapter_ = false;
  must_save_ = true;
  co_return Result<void>{};
}

void UdsIndex::note_rebuilt() {
  // A stop or a close does not wait for the end of a rebuild: what there is then is not saved.
  note(LogLevel::notice, stop_opening_
                             ? "the rebuild of the deduplication index is broken off; the "
                               "next opening begins it anew"
                             : "the deduplication index is rebuilt");
}

/// Takes the volume index of a save whose open chapter is gone, and replays the chapters written
/// since. False if that cannot be done, because something is missing or too much has happened.
Task<Result<bool>> UdsIndex::rebuild_from_save(const IndexSave& save) {
  if (save.oldest > save.newest || save.newest - save.oldest > geometry_.chapters) co_return false;
  const auto map = co_await load_page_map(save);
  if (!map) co_return false;
  // What was in the open chapter then is either in a chapter now, and replayed, or lost.
  const auto names =
      co_await load_volume_index(executor_, *names_, device_, save.zones,
                                 storage_.layout().volume_nonce, save.newest, save.newest);
  if (!names) co_return false;
  std::uint64_t newest = save.newest;
  const IndexLayout& layout = storage_.layout();
  // The chapters since are one behind the other in their slots. Beyond the window the save's
  // entries would all have expired.
  while (newest - save.newest < names_->subs()[0].window()) {
    const std::uint64_t slot = physical_chapter(geometry_, layout, newest);
    auto chapter = co_await probe(slot);
    if (!chapter) co_return std::move(chapter).error();
    if (*chapter != std::optional(newest)) {
      // Here the volume ends, if what is in the slot is older, or half written.
      if (chapter->value_or(0) > newest) co_return false;
      break;
    }
    ++newest;
  }
  // A newer chapter behind the end would mean that one in between is damaged: then all are looked
  // at.
  auto beyond = co_await probe(physical_chapter(geometry_, layout, newest + 1));
  if (!beyond) co_return std::move(beyond).error();
  if (beyond->value_or(0) > newest) co_return false;

  // As it would have gone on in use, chapter by chapter.
  oldest_ = save.oldest;
  for (std::uint64_t n = save.newest + 1; n <= newest; ++n) {
    oldest_ += chapters_to_expire(geometry_, layout, n);
  }
  open_->number = newest;
  note(LogLevel::notice,
       fmt::format("the deduplication index is rebuilt from its last save and chapters {} to {}",
                   save.newest, newest));
  for (std::uint64_t chapter = save.newest; chapter < newest && !stop_opening_; ++chapter) {
    auto replayed = co_await replay(chapter);
    if (!replayed) {
      // A damaged chapter among those since the save: all chapters are gone through instead.
      if (replayed.error().code() == Errc::corrupt) co_return false;
      co_return std::move(replayed).error();
    }
  }
  names_->advance_to(newest);
  has_saved_open_chapter_ = false;
  must_save_ = true;
  note_rebuilt();
  co_return true;
}

/// Adds what is in a chapter on storage to the volume index and to the page map.
Task<Result<void>> UdsIndex::replay(std::uint64_t chapter) {
  const IndexGeometry& g = geometry_;
  names_->advance_to(chapter);
  const std::uint64_t slot = physical_chapter(g, storage_.layout(), chapter);
  // The index pages first, for the page map; then the records, in the order in which they lie
  // there.
  const std::uint32_t most = std::max(kPagesPerRead, g.index_pages_per_chapter);
  const PageMemory memory(std::uint64_t{most} * kIndexPageSize);
  auto index = co_await device_.read(
      storage_.slot_page_offset(slot, 0),
      memory.bytes().first(std::size_t{g.index_pages_per_chapter} * kIndexPageSize));
  if (!index) co_return std::move(index).error();
  std::uint32_t next_list = 0;
  for (std::uint32_t i = 0; i < g.index_pages_per_chapter; ++i) {
    const ConstBytes page = memory.bytes().subspan(i * kIndexPageSize, kIndexPageSize);
    const auto header = decode_index_page(page, storage_.layout().volume_nonce);
    if (!header || header->chapter != chapter || header->first_list != next_list) {
      co_return Error(Errc::corrupt,
                      fmt::format("chapter {} of the deduplication index is damaged", chapter));
    }
    next_list += header->lists;
    if (i + 1 < g.index_pages_per_chapter) {
      // The page map follows from the index pages (index.md, 10).
      page_map_.last_lists(slot)[i] = static_cast<std::uint16_t>(next_list - 1);
    }
  }
  std::vector<Doubtful> doubtful;
  for (std::uint32_t first = 0; first < g.record_pages_per_chapter; first += kPagesPerRead) {
    const std::size_t count = std::min(kPagesPerRead, g.record_pages_per_chapter - first);
    const MutableBytes records = memory.bytes().first(count * kIndexPageSize);
    auto read = co_await device_.read(
        storage_.slot_page_offset(slot, g.index_pages_per_chapter + first), records);
    if (!read) co_return std::move(read).error();
    for (std::size_t i = 0; i < count; ++i) {
      replay_records(chapter, records.subspan(i * kIndexPageSize, kIndexPageSize), doubtful);
      executor_.spend(kUnitsPerPage);
      co_await executor_.give_way();
    }
  }
  // Names whose place a name of an older chapter has: that chapter tells whether it is the same.
  for (const Doubtful& one : doubtful) {
    auto same = co_await is_in_chapter(one.chapter, one.name);
    if (!same) co_return std::move(same).error();
    const VolumeIndex::Place place = names_->place_of(one.name);
    if (*same) {
      place.sub->put_plain(place.at, chapter);
    } else {
      place.sub->put_collision(place.at, one.name, chapter);
    }
  }
  co_return Result<void>{};
}

/// Replays a record page. Names of which it must be seen on storage whether they are those of an
/// older chapter go to `doubtful`.
void UdsIndex::replay_records(std::uint64_t chapter, ConstBytes page,
                              std::vector<Doubtful>& doubtful) {
  // As it will be when all chapters have been replayed.
  const bool only_hooks = is_sparse(chapter);
  std::array<RecordName, kReplayGroup> names;
  std::array<VolumeIndex::Place, kReplayGroup> places;
  for (std::size_t first = 0; first < kRecordsPerPage; first += kReplayGroup) {
    std::size_t count = 0;
    for (std::size_t i = first; i < first + kReplayGroup; ++i) {
      std::memcpy(names[count].bytes.data(), page.data() + i * kRecordSize, 16);
      // A name that the volume index will not keep need not be put in.
      if (only_hooks && !names_->is_hook(names[count])) continue;
      places[count] = names_->place_of(names[count]);
      places[count].sub->prefetch_start(places[count].at);
      ++count;
    }
    VolumeIndex::prefetch(std::span(places).first(count), VolumeIndex::Access::record);
    for (std::size_t i = 0; i < count; ++i) {
      VolumeSubIndex& sub = *places[i].sub;
      const VolumeSubIndex::Match match = sub.find_or_put(places[i].at, names[i], chapter);
      // The same place twice in one chapter: two names, of which the second gets an entry of its
      // own.
      if (match.kind == VolumeSubIndex::Kind::collision ||
          (match.kind == VolumeSubIndex::Kind::plain && match.chapter == chapter)) {
        sub.put_collision(places[i].at, names[i], chapter);
      } else if (match.kind == VolumeSubIndex::Kind::plain && doubtful.size() < kMaxDoubtful) {
        doubtful.push_back({names[i], match.chapter});
      } else if (match.kind == VolumeSubIndex::Kind::plain) {
        sub.put_plain(places[i].at, chapter);
      }
    }
  }
}

/// As a lookup would find it, but with memory of its own: the cache is for what is asked for again.
Task<Result<bool>> UdsIndex::is_in_chapter(std::uint64_t chapter, const RecordName& name) {
  // Its slot may hold another chapter.
  if (chapter < oldest_) co_return false;
  const ChapterPlace place = chapter_place_of(geometry_, name);
  const std::uint64_t slot = physical_chapter(geometry_, storage_.layout(), chapter);
  const PageMemory page(kIndexPageSize);
  auto index = co_await device_.read(
      storage_.slot_page_offset(slot, page_map_.page_of(slot, place.list)), page.bytes());
  if (!index) co_return std::move(index).error();
  const auto header = decode_index_page(page.bytes(), storage_.layout().volume_nonce);
  if (!header || header->chapter != chapter) co_return false;
  const auto record_page = find_in_index_page(geometry_, page.bytes(), *header, place, name);
  if (!record_page) co_return false;
  auto records = co_await device_.read(
      storage_.slot_page_offset(slot, geometry_.index_pages_per_chapter + *record_page),
      page.bytes());
  if (!records) co_return std::move(records).error();
  co_return find_in_record_page(page.bytes(), name).has_value();
}

}  // namespace uvdo
