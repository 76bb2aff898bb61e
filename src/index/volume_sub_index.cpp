// SPDX-License-Identifier: GPL-2.0-or-later
#include "index/volume_sub_index.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/unset.h"

namespace uvdo {
namespace {

// Room for a short list (255 bytes at most) and an entry that makes it too long.
constexpr std::uint32_t kScratchBytes = 512;
// Bytes between two lists that a spread leaves at least, while there are as many.
constexpr std::uint32_t kMinGap = 24;
constexpr std::uint64_t kWorthHugePages = std::uint64_t{64} << 20U;
constexpr std::uint32_t kCacheLine = 64;
constexpr std::uint32_t kNearLists = 8;  // how far a gap is looked for before all are moved

/// The sum of the eight bytes of a word.
std::uint32_t sum_of_bytes(std::uint64_t word) {
  constexpr std::uint64_t kEven = 0x00FF00FF00FF00FF;
  const std::uint64_t pairs = (word & kEven) + (word >> 8U & kEven);
  return static_cast<std::uint32_t>(pairs * 0x0001000100010001 >> 48U);
}

/// Bytes of a region that `lists` lists of so many entries seldom outgrow.
std::uint64_t region_capacity(const SubIndexGeometry& g, std::uint32_t lists,
                              std::uint64_t chapters) {
  const double entries =
      static_cast<double>(g.records_per_chapter) * static_cast<double>(chapters) * lists / g.lists;
  const double bits = g.chapter_bits + g.code.minimum_bits + 1.5;
  // Half a byte is lost at the end of each of the 16 short lists.
  const double expected = entries * bits / 8 + lists * (kShortListHead + 8.0);
  // Three standard deviations, and as much as it takes for gaps to be found near at hand.
  const double spread = 3 * std::sqrt(entries) * bits / 8;
  return static_cast<std::uint64_t>(expected + spread) + std::uint64_t{lists} * 2;
}

/// Names that may share places with others: several times what a full index has of names that are
/// spread evenly.
std::uint64_t collision_capacity(const SubIndexGeometry& g) {
  constexpr std::uint64_t kFewest = 65536;
  const double entries = static_cast<double>(g.records_per_chapter * g.chapters);
  const double places = std::ldexp(g.lists, static_cast<int>(g.address_bits));
  return std::max(kFewest, static_cast<std::uint64_t>(4 * entries * entries / places));
}

}  // namespace

VolumeSubIndex::VolumeSubIndex(const SubIndexGeometry& geometry)
    : geometry_(geometry), coding_(geometry), collisions_(collision_capacity(geometry)) {
  const DeltaCode& code = geometry.code;
  check(
      code.minimum_bits + (std::uint64_t{1} << coding_.short_key_bits) / code.values_per_bit + 2 <=
          kBitsAtOnce,
      "the deltas of this index are too small for their keys");
  // The margin between window and numbers is the time that a round of the sweep has: about 1.6 %.
  const std::uint64_t round = std::max<std::uint64_t>(1, geometry.chapters / 64);
  window_ =
      std::min(geometry.chapters, coding_.chapter_mask + 1 - std::min(round, coding_.chapter_mask));
  sweep_chapters_ = std::min(round, coding_.chapter_mask + 1 - window_);
  const std::uint32_t regions = (geometry.lists + kListsPerRegion - 1) / kListsPerRegion;
  // Full to the window and to half a round of expired entries, on average.
  region_bytes_ = region_capacity(geometry, kListsPerRegion, window_ + (sweep_chapters_ + 1) / 2);
  arena_ = PageMemory(regions * region_bytes_);
  // Every access is to another place. Small indexes (of tests) are not worth a huge page.
  if (arena_.size() >= kWorthHugePages) arena_.allow_huge_pages();
  starts_.resize(std::size_t{regions} * (kListsPerRegion + 1));
  for (std::uint32_t region = 0; region < regions; ++region) {
    std::uint32_t* starts = &starts_[std::size_t{region} * (kListsPerRegion + 1)];
    const std::uint32_t lists = lists_in_region(region);
    // Lists without entries: the memory is zeros, and so are the lengths in their heads.
    for (std::uint32_t i = 0; i < lists; ++i) starts[i] = i * (kShortListHead + kMinGap);
    starts[lists] = static_cast<std::uint32_t>(region_bytes_);
  }
}

std::uint32_t VolumeSubIndex::lists_in_region(std::uint32_t region) const {
  return std::min(kListsPerRegion, geometry_.lists - region * kListsPerRegion);
}

std::uint32_t VolumeSubIndex::bytes_of_list(const std::byte* list) {
  return kShortListHead + sum_of_bytes(detail::load_word(list)) +
         sum_of_bytes(detail::load_word(list + 8));
}

std::uint32_t VolumeSubIndex::offset_of_short_list(const std::byte* list, std::uint32_t sub) {
  // The head in two words, as bytes to be added up: what stands before a short list is the sum of
  // the lengths before its own.
  const std::uint64_t first = detail::load_word(list);
  const std::uint64_t second = detail::load_word(list + 8);
  if (sub < 8) return kShortListHead + sum_of_bytes(first & low_bits(8 * sub));
  return kShortListHead + sum_of_bytes(first) + sum_of_bytes(second & low_bits(8 * (sub - 8)));
}

VolumeSubIndex::ShortList VolumeSubIndex::short_list_at(Place place) const {
  std::byte* list = list_at(place.list);
  const std::uint32_t sub = place.address >> coding_.short_key_bits;
  return {list + offset_of_short_list(list, sub), load_u8(list + sub),
          sub << coding_.short_key_bits};
}

void VolumeSubIndex::prefetch_entries(Place place) const {
  const ShortList sub = short_list_at(place);
  __builtin_prefetch(sub.bits);
  __builtin_prefetch(sub.bits + sub.bytes);
}

/// Reads only: what has expired is passed over, and stays for the sweep.
VolumeSubIndex::Match VolumeSubIndex::find(Place place, const RecordName& name) const {
  const Spot spot = spot_of(place);
  if (!spot.is_there) return {};
  return match_at(place, name, coding_.chapter_at(spot.sub.bits, spot.cursor.at));
}

/// What the entry at a place, with this payload, says of a name.
VolumeSubIndex::Match VolumeSubIndex::match_at(Place place, const RecordName& name,
                                               std::uint64_t payload) const {
  const CollisionTable::Entry* collision = find_collision(place, name);
  // A name's own entry is certain; the plain one may stand for any name of the place.
  if (collision != nullptr && collision->chapter >= low_) {
    return {Kind::collision, collision->chapter};
  }
  if (!is_live(payload)) return {};
  return {Kind::plain, chapter_of(payload)};
}

void VolumeSubIndex::prefetch_to_end(Place place) const {
  const std::byte* list = list_at(place.list);
  const std::uint32_t from = offset_of_short_list(list, place.address >> coding_.short_key_bits);
  const std::uint32_t end = bytes_of_list(list);
  for (std::uint32_t at = from; at < end; at += kCacheLine) __builtin_prefetch(list + at);
  __builtin_prefetch(list + end);
}

/// Walks to where the entry of a place is or would be.
VolumeSubIndex::Spot VolumeSubIndex::spot_of(Place place) const {
  Spot spot{short_list_at(place)};
  // Keys of a short list count from its first address.
  const std::uint64_t wanted = place.address - spot.sub.key_base;
  std::uint64_t key = 0;
  // Some eight entries, on average, of a full index.
  while (step(spot.sub, spot.cursor)) {
    if (key + spot.cursor.delta >= wanted) {
      spot.is_there = key + spot.cursor.delta == wanted;
      spot.follows = !spot.is_there;
      break;
    }
    key += spot.cursor.delta;
  }
  spot.delta = wanted - key;
  return spot;
}

bool VolumeSubIndex::put_plain(Place place, std::uint64_t chapter) {
  pay_sweep();
  return put_at(place, spot_of(place), chapter);
}

/// An entry that has expired is as good as none: it is given the new chapter in its place.
VolumeSubIndex::Match VolumeSubIndex::find_or_put(Place place, const RecordName& name,
                                                  std::uint64_t chapter) {
  pay_sweep();
  const Spot spot = spot_of(place);
  if (spot.is_there) {
    const Match match = match_at(place, name, coding_.chapter_at(spot.sub.bits, spot.cursor.at));
    if (match.kind != Kind::none) return match;
  }
  put_at(place, spot, chapter);
  return {};
}

/// The sweep pays its way: so much a new entry.
void VolumeSubIndex::pay_sweep() {
  if (sweep_owed_ == 0) return;
  sweep_credit_ += geometry_.lists;
  const std::uint64_t price = geometry_.records_per_chapter * sweep_chapters_;
  // Fractions of a list are saved up: in a chapter's worth of new entries all that is owed is
  // swept.
  if (sweep_credit_ < price) return;
  const std::uint64_t due = std::min(sweep_credit_ / price, sweep_owed_);
  sweep_credit_ %= price;
  sweep(due);
}

/// An entry that is there gets another chapter, in its place. A new one splits the delta of the
/// entry behind it in two, so that no entry after that changes.
bool VolumeSubIndex::put_at(Place place, const Spot& spot, std::uint64_t chapter) {
  const ShortList& sub = spot.sub;
  const std::uint64_t payload = chapter & coding_.chapter_mask;
  // The payload has a fixed width: nothing moves.
  if (spot.is_there) {
    store_bits(sub.bits, spot.cursor.at, payload, geometry_.chapter_bits);
    return true;
  }
  // The new entry goes to cursor.at if another one follows, otherwise to the end.
  Cursor cursor = spot.cursor;
  while (spot.follows && step(sub, cursor)) {
  }
  const std::uint64_t end = cursor.next;
  UVDO_UNSET std::array<std::byte, kScratchBytes> scratch;
  // Made beside the list, and put in its place when it is known to fit.
  const std::uint64_t cut = spot.follows ? spot.cursor.at : end;
  std::memcpy(scratch.data(), sub.bits, cut / 8 + 1);
  BitWriter writer(scratch.data(), cut);
  put_coded(writer, payload, spot.delta);
  if (spot.follows) {
    put_coded(writer, coding_.chapter_at(sub.bits, spot.cursor.at), spot.cursor.delta - spot.delta);
    writer.put_bits(sub.bits, spot.cursor.next, end - spot.cursor.next);
  }
  // The next short list begins with a byte of its own.
  const std::uint64_t bytes = (writer.position(scratch.data()) + 7) / 8;
  if (bytes > kMaxShortListBytes ||
      !replace_short_list(place, scratch.data(), static_cast<std::uint32_t>(bytes))) {
    ++overflows_;
    return false;
  }
  ++entries_;
  return true;
}

/// Only where another name has the plain entry of the place does this one need an entry of its own.
bool VolumeSubIndex::put_collision(Place place, const RecordName& name, std::uint64_t chapter) {
  if (CollisionTable::Entry* collision = find_collision(place, name)) {
    collision->chapter = chapter;
    return true;
  }
  if (find(place, name).kind != Kind::plain) return put_plain(place, chapter);
  if (collisions_.insert(key_of(place), name, chapter)) return true;
  ++overflows_;
  return false;
}

CollisionTable::Entry* VolumeSubIndex::find_collision(Place place, const RecordName& name) const {
  return collisions_.find(key_of(place), [&](const CollisionTable::Entry& entry) {
    return same_name(entry.name, name);
  });
}

/// Puts `bits` in the place of the short list at `place`, moving what follows.
bool VolumeSubIndex::replace_short_list(Place place, const std::byte* bits,
                                        std::uint32_t new_bytes) {
  const std::uint32_t sub = place.address >> coding_.short_key_bits;
  std::byte* list = list_at(place.list);
  const std::uint32_t old_bytes = load_u8(list + sub);
  const std::uint32_t list_bytes = bytes_of_list(list);
  if (new_bytes > old_bytes) {
    // Sizes of the whole list: the short lists behind this one move.
    const std::uint32_t grown = list_bytes + new_bytes - old_bytes;
    const std::size_t slot = start_slot(place.list);
    // The list would grow into the next one; making room may move this list as well.
    if (starts_[slot] + grown > starts_[slot + 1]) {
      if (!make_room(place.list, new_bytes - old_bytes)) return false;
      list = list_at(place.list);
    }
  }
  std::byte* at = list + offset_of_short_list(list, sub);
  const auto behind = static_cast<std::size_t>(list + list_bytes - (at + old_bytes));
  if (new_bytes != old_bytes) std::memmove(at + new_bytes, at + old_bytes, behind);
  std::memcpy(at, bits, new_bytes);
  store_u8(list + sub, static_cast<std::uint8_t>(new_bytes));
  return true;
}

/// Makes a gap of at least `bytes` behind `list`; false if its region is full.
bool VolumeSubIndex::make_room(std::uint32_t list, std::uint32_t bytes) {
  const std::uint32_t region = list / kListsPerRegion;
  const std::uint32_t first = list % kListsPerRegion;
  const std::uint32_t lists = lists_in_region(region);
  std::uint32_t* starts = &starts_[start_slot(region * kListsPerRegion)];
  std::byte* base = region_at(list);
  for (std::uint32_t i = first + 1; i < std::min(lists, first + kNearLists); ++i) {
    const std::uint32_t end = starts[i] + bytes_of_list(base + starts[i]);
    // The nearest gap that is large enough: the lists up to there move towards it.
    if (starts[i + 1] - end < bytes) continue;
    std::byte* from = base + starts[first + 1];
    std::memmove(from + bytes, from, end - starts[first + 1]);
    for (std::uint32_t j = first + 1; j <= i; ++j) starts[j] += bytes;
    return true;
  }
  return spread_region(region, first, bytes);
}

/// Divides the free space of a region among its lists anew, with `bytes` more for one of them.
bool VolumeSubIndex::spread_region(std::uint32_t region, std::uint32_t favoured,
                                   std::uint32_t bytes) {
  const std::uint32_t lists = lists_in_region(region);
  std::uint32_t* starts = &starts_[start_slot(region * kListsPerRegion)];
  std::byte* base = region_at(region * kListsPerRegion);
  std::array<std::uint32_t, kListsPerRegion> sizes{};
  std::uint64_t used = bytes;
  for (std::uint32_t i = 0; i < lists; ++i) {
    sizes[i] = bytes_of_list(base + starts[i]);
    used += sizes[i];
  }
  if (used > region_bytes_) return false;
  // Room that each list can have for growing.
  const auto share = static_cast<std::uint32_t>((region_bytes_ - used) / lists);
  // No more than a quarter, so that memory is touched only as it is needed.
  const std::uint32_t wanted = std::max(kMinGap, static_cast<std::uint32_t>(used / lists / 4));
  const std::uint32_t gap = std::min(share, wanted);
  // All packed to the front first, then from the last on to their targets: neither overwrites what
  // has yet to be moved.
  std::array<std::uint32_t, kListsPerRegion> targets{};
  std::uint32_t packed = 0;
  for (std::uint32_t i = 0; i < lists; ++i) {
    std::memmove(base + packed, base + starts[i], sizes[i]);
    starts[i] = packed;
    targets[i] = packed + i * gap + (i > favoured ? bytes : 0);
    packed += sizes[i];
  }
  for (std::uint32_t i = lists; i-- > 0;) {
    std::memmove(base + targets[i], base + starts[i], sizes[i]);
    starts[i] = targets[i];
  }
  return true;
}

/// A save may reach further back than the window here, which is a little shorter.
void VolumeSubIndex::set_range(std::uint64_t low, std::uint64_t high) {
  check(entries_ == 0, "the range of a filled index is not set");
  high_ = high;
  low_ = std::max(low, high >= window_ ? high - window_ + 1 : 0);
}

/// The window moves on: what is older than it is expired at once, and removed by the sweep, of
/// which each new chapter owes a share.
void VolumeSubIndex::advance_to(std::uint64_t chapter) {
  while (high_ < chapter) {
    // What expired is gone before its number comes round: each round of the sweep is finished
    // within sweep_chapters_ chapters.
    sweep(sweep_owed_);
    sweep_credit_ = 0;
    ++high_;
    // Nothing expires before the window is full.
    if (high_ < low_ + window_) continue;
    low_ = high_ - window_ + 1;
    sweep_owed_ = (geometry_.lists + sweep_chapters_ - 1) / sweep_chapters_;
    if (++chapters_since_purge_ >= sweep_chapters_) {
      chapters_since_purge_ = 0;
      forget_expired_collisions();
    }
  }
}

void VolumeSubIndex::sweep(std::uint64_t lists) {
  sweep_owed_ -= lists;
  for (; lists > 0; --lists) {
    sweep_list(sweep_next_);
    if (++sweep_next_ == geometry_.lists) sweep_next_ = 0;
  }
}

/// What stays moves up to the head of the list; the gap behind it grows. Nothing is moved as long
/// as nothing has expired.
void VolumeSubIndex::sweep_list(std::uint32_t list) {
  std::byte* head = list_at(list);
  __builtin_prefetch(head + 1024);
  __builtin_prefetch(head + 1088);
  std::uint32_t from = kShortListHead;
  std::uint32_t to = kShortListHead;
  for (std::uint32_t i = 0; i < kShortLists; ++i) {
    const std::uint32_t bytes = load_u8(head + i);
    const ShortList sub{head + from, bytes, i << coding_.short_key_bits};
    bool all_live = true;
    Cursor cursor;
    // Most short lists have nothing that expired, and are only looked at.
    while (step(sub, cursor)) all_live &= is_live(coding_.chapter_at(sub.bits, cursor.at));
    std::uint32_t kept = bytes;
    if (!all_live) {
      UVDO_UNSET std::array<std::byte, kScratchBytes> scratch;
      kept = copy_live(sub, list, scratch.data());
      std::memcpy(head + to, scratch.data(), kept);
      store_u8(head + i, static_cast<std::uint8_t>(kept));
    } else if (to != from) {
      std::memmove(head + to, head + from, bytes);
    }
    from += bytes;
    to += kept;
  }
}

/// Copies the entries of a short list that have not expired; the number of bytes. A collision
/// entry takes the place of an expired plain one.
std::uint32_t VolumeSubIndex::copy_live(const ShortList& sub, std::uint32_t list, std::byte* to) {
  BitWriter writer(to);
  Cursor cursor;
  std::uint64_t key = 0;
  std::uint64_t last_key = 0;
  while (step(sub, cursor)) {
    key += cursor.delta;
    std::uint64_t payload = coding_.chapter_at(sub.bits, cursor.at);
    if (!is_live(payload)) {
      ++discarded_;
      // The place may go on as another name's: then the entry stays, with that name's chapter.
      const Place place{list, static_cast<std::uint32_t>(sub.key_base + key)};
      const std::optional<std::uint64_t> heir = take_live_collision(key_of(place));
      if (!heir) {
        --entries_;
        continue;
      }
      payload = *heir & coding_.chapter_mask;
    }
    put_coded(writer, payload, key - last_key);
    last_key = key;
  }
  return static_cast<std::uint32_t>((writer.position(to) + 7) / 8);
}

/// The chapter of a name of a place that has not expired, which is no collision any more.
std::optional<std::uint64_t> VolumeSubIndex::take_live_collision(std::uint64_t key) {
  CollisionTable::Entry* heir = collisions_.find(
      key, [&](const CollisionTable::Entry& entry) { return entry.chapter >= low_; });
  if (heir == nullptr) return std::nullopt;
  const std::uint64_t chapter = heir->chapter;
  collisions_.erase(*heir);
  return chapter;
}

/// The sweep meets a collision entry only where the plain entry of its place has expired; the
/// others are looked for here.
void VolumeSubIndex::forget_expired_collisions() {
  collisions_.for_each([&](CollisionTable::Entry& entry) {
    if (entry.chapter >= low_) return;
    collisions_.erase(entry);
    ++discarded_;
  });
}

/// Codes the list anew, short list by short list, in a buffer beside, and appends it to its region.
void VolumeSubIndex::load_list(std::uint32_t list, std::span<const Entry> entries) {
  check(list >= load_next_ && list < geometry_.lists, "lists are loaded in order");
  append_empty(list);
  // An entry may be larger than what is left of its short list, hence the room behind.
  UVDO_UNSET
  std::array<std::byte, kShortListHead + kShortLists * kMaxShortListBytes + kScratchBytes> coded;
  std::memset(coded.data(), 0, kShortListHead);
  std::uint32_t sub = 0;
  std::uint32_t begin = kShortListHead;
  std::uint64_t last_key = 0;
  BitWriter writer(coded.data() + begin);
  std::uint32_t bytes = 0;
  std::uint64_t last_plain = ~std::uint64_t{0};
  for (const Entry& entry : entries) {
    // Beyond the window, or of a chapter that is gone.
    if (entry.chapter < low_ || entry.chapter > high_) continue;
    // A collision entry whose plain one was left out becomes the plain one (index.md, 16.3).
    if (entry.collision != nullptr && last_plain == entry.address) {
      if (!collisions_.insert(key_of({list, entry.address}), *entry.collision, entry.chapter)) {
        ++overflows_;
      }
      continue;
    }
    const std::uint32_t its_sub = entry.address >> coding_.short_key_bits;
    // The next short list begins: the one before is complete.
    if (its_sub != sub) {
      store_u8(coded.data() + sub, static_cast<std::uint8_t>(bytes));
      begin += bytes;
      bytes = 0;
      sub = its_sub;
      last_key = 0;
      writer = BitWriter(coded.data() + begin);
    }
    const std::uint64_t key = entry.address & low_bits(coding_.short_key_bits);
    const BitWriter before = writer;
    put_coded(writer, entry.chapter & coding_.chapter_mask, key - last_key);
    const std::uint64_t position = writer.position(coded.data() + begin);
    // Taken back: the writer goes on from where it was.
    if (position > kMaxShortListBytes * std::uint64_t{8}) {
      writer = before;
      ++overflows_;
      continue;
    }
    bytes = static_cast<std::uint32_t>((position + 7) / 8);
    last_key = key;
    last_plain = entry.address;
    ++entries_;
  }
  store_u8(coded.data() + sub, static_cast<std::uint8_t>(bytes));
  append_loaded({coded.data(), begin + bytes});
}

unsigned VolumeSubIndex::load_coded_lists(std::uint32_t list, const CodedList& first,
                                          const CodedList& second) {
  check(list >= load_next_ && list < geometry_.lists, "lists are loaded in order");
  CutList first_cut;
  CutList second_cut;
  // The second one counts only if the first was cut as well: lists come in order.
  const unsigned cut = cut_lists(coding_, first, second, first_cut, second_cut);
  if ((cut & 1U) == 0) return 0;
  append_empty(list);
  entries_ += first_cut.entries;
  append_loaded(first_cut.used());
  if ((cut & 2U) == 0 || second.begin == second.end) return 1;
  entries_ += second_cut.entries;
  append_loaded(second_cut.used());
  return 2;
}

/// Lists up to `list` are empty.
void VolumeSubIndex::append_empty(std::uint32_t list) {
  constexpr std::array<std::byte, kShortListHead> kEmpty{};
  while (load_next_ < list) append_loaded(kEmpty);
}

/// While loading, lists lie one behind the other without gaps; a region that is complete is spread.
void VolumeSubIndex::append_loaded(std::span<const std::byte> list) {
  const std::uint32_t region = load_next_ / kListsPerRegion;
  const std::uint32_t left = region * kListsPerRegion + lists_in_region(region) - load_next_;
  starts_[start_slot(load_next_)] = load_end_;
  std::byte* at = list_at(load_next_);
  // The rest of the region must have room for the heads of the lists to come.
  if (load_end_ + list.size() + std::size_t{left - 1} * kShortListHead <= region_bytes_) {
    std::memcpy(at, list.data(), list.size());
    load_end_ += static_cast<std::uint32_t>(list.size());
  } else {
    // No room: the list is loaded empty, and what it had is counted as not there.
    std::uint64_t lost = 0;
    std::uint32_t from = kShortListHead;
    for (std::uint32_t i = 0; i < kShortLists; ++i) {
      const ShortList sub{const_cast<std::byte*>(list.data()) + from, load_u8(list.data() + i)};
      from += sub.bytes;
      Cursor cursor;
      while (step(sub, cursor)) ++lost;
    }
    entries_ -= lost;
    overflows_ += lost;
    std::memset(at, 0, kShortListHead);
    load_end_ += kShortListHead;
  }
  ++load_next_;
  // The region is complete: its lists, packed so far, get their gaps.
  if (left == 1) {
    spread_region(region, kListsPerRegion, 0);
    load_end_ = 0;
  }
}

void VolumeSubIndex::finish_load() { append_empty(geometry_.lists); }

std::vector<bool> VolumeSubIndex::lists_with_collisions() const {
  std::vector<bool> marks(geometry_.lists);
  collisions_.for_each([&](const CollisionTable::Entry& entry) {
    marks[entry.key >> geometry_.address_bits] = true;
  });
  return marks;
}

JoinedList VolumeSubIndex::code_list(std::uint32_t list, std::uint64_t low, std::byte* to) const {
  if (low > high_) return {};
  return join_lists(coding_, list_at(list), high_, high_ - std::max(low, low_), to);
}

/// Each plain entry, and behind it the names that share its place.
void VolumeSubIndex::read_list(std::uint32_t list, std::uint64_t low,
                               std::vector<Entry>& entries) const {
  const std::byte* head = list_at(list);
  std::uint32_t from = kShortListHead;
  for (std::uint32_t i = 0; i < kShortLists; ++i) {
    const ShortList sub{const_cast<std::byte*>(head) + from, load_u8(head + i),
                        i << coding_.short_key_bits};
    from += sub.bytes;
    Cursor cursor;
    std::uint64_t key = sub.key_base;
    while (step(sub, cursor)) {
      key += cursor.delta;
      const std::uint64_t payload = coding_.chapter_at(sub.bits, cursor.at);
      const auto address = static_cast<std::uint32_t>(key);
      if (is_live(payload) && chapter_of(payload) >= low) {
        entries.push_back({address, chapter_of(payload), nullptr});
      }
      // All names of the place: the function never says true.
      collisions_.find(key_of({list, address}), [&](const CollisionTable::Entry& entry) {
        if (entry.chapter >= std::max(low, low_)) {
          entries.push_back({address, entry.chapter, &entry.name});
        }
        return false;
      });
    }
  }
}

void VolumeSubIndex::validate() const {
  std::uint64_t found = 0;
  for (std::uint32_t list = 0; list < geometry_.lists; ++list) {
    const std::byte* head = list_at(list);
    const std::size_t slot = start_slot(list);
    check(starts_[slot] + bytes_of_list(head) <= starts_[slot + 1], "lists overlap");
    for (std::uint32_t i = 0; i < kShortLists; ++i) {
      const ShortList sub = short_list_at({list, i << coding_.short_key_bits});
      Cursor cursor;
      std::uint64_t key = 0;
      while (step(sub, cursor)) {
        check(cursor.at == 0 || cursor.delta > 0, "an address is there twice");
        key += cursor.delta;
        check(key < std::uint64_t{1} << coding_.short_key_bits,
              "an address is beyond its short list");
        ++found;
      }
      check((cursor.next + 7) / 8 == sub.bytes, "a short list has a wrong length");
    }
  }
  check(found == entries_, "entries are miscounted");
}

}  // namespace uvdo
