// SPDX-License-Identifier: GPL-2.0-or-later
// The in-memory form of the volume index, or of one of the two of a sparse index: which chapter a
// name was last seen in (index.md, 8).
//
// A list of the format (256 entries when full) is cut into 16 short ones (short_lists.h). So a
// lookup decodes about eight entries from one or two cache lines, and memory is what the coded
// entries take plus some 4 %. 1024 lists share a region of fixed size, with gaps.
//
// Names of collision entries are kept aside. Expired entries are removed by a sweep that goes
// round as chapters are added; the newest chapters of the window are never doubtful, because the
// window is a little shorter than the numbers that fit in an entry.
//
// What holds here:
// - starts_ has, for each region, where its lists begin, in ascending order, and the region's end:
//   list i may grow up to where list i + 1 begins.
// - A list is a head of 16 lengths and the 16 short lists one behind the other, without gaps.
// - Within a short list keys ascend and no key is there twice; a place with several names has one
//   entry, and the other names are in collisions_.
// - No entry that the sweep has yet to meet names a chapter that could be taken for a newer one.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/page_memory.h"
#include "format/index_geometry.h"
#include "format/record_name.h"
#include "index/collision_table.h"
#include "index/delta_list.h"
#include "index/short_lists.h"

namespace uvdo {

/// One thread uses it. Nothing here fails: what has no room is counted (overflows()) and left out,
/// which costs deduplication.
class VolumeSubIndex {
 public:
  /// Where a name belongs.
  struct Place {
    std::uint32_t list = 0;
    std::uint32_t address = 0;
  };
  enum class Kind : std::uint8_t {
    none,
    plain,     ///< an entry for all names of this place
    collision  ///< an entry for this name alone
  };
  struct Match {
    Kind kind = Kind::none;
    std::uint64_t chapter = 0;
  };
  /// An entry that a save or a load hands over.
  struct Entry {
    std::uint32_t address = 0;
    std::uint64_t chapter = 0;
    const RecordName* collision = nullptr;  ///< set for a collision entry
  };

  explicit VolumeSubIndex(const SubIndexGeometry& geometry);

  [[nodiscard]] const SubIndexGeometry& geometry() const { return geometry_; }
  [[nodiscard]] Place place_of(const RecordName& name) const {
    const std::uint64_t v = load_be64(name.bytes.data());
    const std::uint64_t high = v >> geometry_.address_bits;
    const std::uint64_t list = (geometry_.lists & (geometry_.lists - 1)) == 0
                                   ? high & (geometry_.lists - 1)
                                   : high % geometry_.lists;
    // index.md, 8.1.
    return {static_cast<std::uint32_t>(list),
            static_cast<std::uint32_t>(v & low_bits(geometry_.address_bits))};
  }

  /// Three steps, each of which needs what the one before fetched.
  void prefetch_start(Place place) const { __builtin_prefetch(&starts_[start_slot(place.list)]); }
  void prefetch_list(Place place) const { __builtin_prefetch(list_at(place.list)); }
  void prefetch_entries(Place place) const;
  /// In the place of prefetch_entries() when an entry will be made: what follows it is moved.
  void prefetch_to_end(Place place) const;

  [[nodiscard]] Match find(Place place, const RecordName& name) const;
  /// Makes the plain entry of a place, or changes its chapter. False if there is no room.
  bool put_plain(Place place, std::uint64_t chapter);
  /// find(), and put_plain() if nothing is found, in one walk.
  Match find_or_put(Place place, const RecordName& name, std::uint64_t chapter);
  /// Makes the collision entry of a name, or changes its chapter. The place has a plain entry,
  /// otherwise it becomes one.
  bool put_collision(Place place, const RecordName& name, std::uint64_t chapter);

  /// The first and the last chapter that entries may name. Entries of chapters before low() are
  /// not found.
  [[nodiscard]] std::uint64_t low() const { return low_; }
  [[nodiscard]] std::uint64_t high() const { return high_; }
  /// Chapters that can be remembered at once: 98 % or more of those of the format.
  [[nodiscard]] std::uint64_t window() const { return window_; }
  /// Makes `chapter`, which is above high(), the newest, and forgets those that leave the window.
  void advance_to(std::uint64_t chapter);
  /// Sets the window of an empty index, before it is loaded.
  void set_range(std::uint64_t low, std::uint64_t high);

  /// Entries, expired ones that the sweep has not yet met included.
  [[nodiscard]] std::uint64_t entries() const { return entries_ + collisions_.size(); }
  [[nodiscard]] std::uint64_t collisions() const { return collisions_.size(); }
  [[nodiscard]] std::uint64_t discarded() const { return discarded_; }
  /// Entries that were not made because there was no room.
  [[nodiscard]] std::uint64_t overflows() const { return overflows_; }
  /// Bytes of address space of the lists and of what belongs to them: what they take when full.
  [[nodiscard]] std::uint64_t capacity_bytes() const {
    return arena_.size() + collisions_.capacity_bytes();
  }

  /// Replaces the content of an empty list; lists come in ascending order. `entries` ascend by
  /// address; collision entries follow the plain one of their address. What has no room is left
  /// out.
  void load_list(std::uint32_t list, std::span<const Entry> entries);
  /// The same for `list` and the one behind it as they are coded on storage; how many of the two
  /// are loaded: load_list() has to look at one that is not plain (cut_lists()). None of their
  /// entries is older than low() or newer than high(). An empty second list is left alone.
  unsigned load_coded_lists(std::uint32_t list, const CodedList& first, const CodedList& second);
  void finish_load();
  /// Marks the lists that have collision entries.
  [[nodiscard]] std::vector<bool> lists_with_collisions() const;
  /// Codes a list that has none as on storage, with what it holds of chapters low..high(). `to` has
  /// room as join_lists() wants it.
  JoinedList code_list(std::uint32_t list, std::uint64_t low, std::byte* to) const;
  /// Appends what any list holds of chapters low..high(), in the order of the format. The next
  /// change of the index ends the lives of the names.
  void read_list(std::uint32_t list, std::uint64_t low, std::vector<Entry>& entries) const;

  /// Checks the structure; for tests. Aborts when it is violated.
  void validate() const;

 private:
  // Within a region lists are moved to make room; all of them at once only when no gap is near.
  static constexpr std::uint32_t kListsPerRegion = 1024;

  /// A short list, and what it takes to change it.
  struct ShortList {
    std::byte* bits = nullptr;
    std::uint32_t bytes = 0;
    std::uint32_t key_base = 0;
  };
  /// A walk over a short list.
  struct Cursor {
    std::uint64_t at = 0;    // first bit of the entry
    std::uint64_t next = 0;  // first bit behind it
    std::uint64_t delta = 0;
  };
  /// Where an entry is or would be.
  struct Spot {
    ShortList sub;
    Cursor cursor{};          ///< its entry, or the one before which it goes, or the last one
    std::uint64_t delta = 0;  ///< from the entry before it
    bool is_there = false;
    bool follows = false;  ///< the cursor is at an entry behind it
  };

  /// Where starts_ has the begin of a list; the next slot has its end.
  [[nodiscard]] std::size_t start_slot(std::uint32_t list) const {
    return std::size_t{list / kListsPerRegion} * (kListsPerRegion + 1) + list % kListsPerRegion;
  }
  [[nodiscard]] std::byte* region_at(std::uint32_t list) const {
    return arena_.data() + std::uint64_t{list / kListsPerRegion} * region_bytes_;
  }
  [[nodiscard]] std::byte* list_at(std::uint32_t list) const {
    return region_at(list) + starts_[start_slot(list)];
  }
  [[nodiscard]] std::uint32_t lists_in_region(std::uint32_t region) const;
  [[nodiscard]] static std::uint32_t bytes_of_list(const std::byte* list);
  [[nodiscard]] static std::uint32_t offset_of_short_list(const std::byte* list, std::uint32_t sub);
  [[nodiscard]] ShortList short_list_at(Place place) const;
  [[gnu::always_inline]] [[nodiscard]] bool step(const ShortList& sub, Cursor& cursor) const;
  /// Whether the chapter of an entry is within low_..high_, by its distance from the newest.
  [[nodiscard]] bool is_live(std::uint64_t payload) const {
    return ((high_ - payload) & coding_.chapter_mask) <= high_ - low_;
  }
  [[nodiscard]] std::uint64_t chapter_of(std::uint64_t payload) const {
    return high_ - ((high_ - payload) & coding_.chapter_mask);
  }
  /// The place as one number, for the table of collisions.
  [[nodiscard]] std::uint64_t key_of(Place place) const {
    return std::uint64_t{place.list} << geometry_.address_bits | place.address;
  }
  void put_coded(BitWriter& writer, std::uint64_t payload, std::uint64_t delta) const {
    put_entry(writer, geometry_.code, geometry_.chapter_bits, payload, delta);
  }
  [[nodiscard]] Spot spot_of(Place place) const;
  /// Finding, and putting where it was found.
  [[nodiscard]] Match match_at(Place place, const RecordName& name, std::uint64_t payload) const;
  bool put_at(Place place, const Spot& spot, std::uint64_t chapter);
  void pay_sweep();
  /// Changing: each of these keeps what holds of the region, or changes nothing and says false.
  bool replace_short_list(Place place, const std::byte* bits, std::uint32_t new_bytes);
  bool make_room(std::uint32_t list, std::uint32_t bytes);
  bool spread_region(std::uint32_t region, std::uint32_t favoured, std::uint32_t bytes);
  /// Removing what has expired, list by list, round and round.
  void sweep(std::uint64_t lists);
  void sweep_list(std::uint32_t list);
  std::uint32_t copy_live(const ShortList& sub, std::uint32_t list, std::byte* to);
  [[nodiscard]] CollisionTable::Entry* find_collision(Place place, const RecordName& name) const;
  std::optional<std::uint64_t> take_live_collision(std::uint64_t key);
  void forget_expired_collisions();
  /// Loading, in ascending order of the lists.
  void append_empty(std::uint32_t list);
  void append_loaded(std::span<const std::byte> list);

  SubIndexGeometry geometry_;
  ListCoding coding_;
  // Chapters that are remembered, and the numbers beyond these that fit in an entry: in that margin
  // the sweep must have removed what expired.
  std::uint64_t window_;
  std::uint64_t sweep_chapters_;  // a round of the sweep takes at most so many chapters
  std::uint64_t low_ = 0;
  std::uint64_t high_ = 0;

  std::uint64_t region_bytes_;
  PageMemory arena_;
  std::vector<std::uint32_t> starts_;  // per region: of each list, and the region's end
  CollisionTable collisions_;          // by key_of()

  std::uint32_t sweep_next_ = 0;
  std::uint64_t sweep_owed_ = 0;    // lists that this chapter still has to sweep
  std::uint64_t sweep_credit_ = 0;  // parts of a list, in lists_per_chapter / records
  std::uint64_t chapters_since_purge_ = 0;
  std::uint32_t load_next_ = 0;  // while loading: the next list
  std::uint32_t load_end_ = 0;   // and the bytes used of its region

  // Of the short lists; those of collisions_ are counted there.
  std::uint64_t entries_ = 0;
  std::uint64_t discarded_ = 0;
  std::uint64_t overflows_ = 0;
};

/// Goes on to the entry behind cursor.next; false at the end of the short list, whose last byte
/// has less room left than any entry takes.
inline bool VolumeSubIndex::step(const ShortList& sub, Cursor& cursor) const {
  if (cursor.next + coding_.fixed_bits() > std::uint64_t{sub.bytes} * 8) return false;
  const DecodedDelta delta =
      decode_delta(coding_.code, sub.bits, cursor.next + coding_.chapter_bits);
  cursor = {cursor.next, cursor.next + coding_.chapter_bits + delta.bits, delta.delta};
  return true;
}

}  // namespace uvdo
