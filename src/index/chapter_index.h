// SPDX-License-Identifier: GPL-2.0-or-later
// The index of one chapter: a few pages of delta lists that say on which record page a name is
// (index.md, 9.2, 9.4, 12), and the map of which list is on which page (10).
// A chapter's index is made once, when it is closed, and only read after that.
#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <vector>

#include "async/executor.h"
#include "async/task.h"
#include "format/index_geometry.h"
#include "index/record_page.h"

namespace uvdo {

/// What stands in front of an index page.
struct IndexPageHeader {
  std::uint64_t chapter = 0;
  std::uint32_t first_list = 0;
  std::uint32_t lists = 0;

  /// Whether a list, by its number within the chapter, is on this page.
  [[nodiscard]] bool has(std::uint32_t list) const {
    return list >= first_list && list - first_list < lists;
  }
};

/// Where a name belongs in the index of its chapter.
struct ChapterPlace {
  std::uint32_t list = 0;
  std::uint32_t address = 0;
};
inline ChapterPlace chapter_place_of(const IndexGeometry& geometry, const RecordName& name) {
  const std::uint64_t v = load_be48(name.bytes.data() + 8);
  return {
      static_cast<std::uint32_t>(v >> geometry.chapter_address_bits) & (geometry.chapter_lists - 1),
      static_cast<std::uint32_t>(v & ((1U << geometry.chapter_address_bits) - 1))};
}

/// The header, if the page is well-formed and carries `nonce`. The page is kIndexPageSize bytes
/// and has kBitSlack bytes behind it, as for the functions below.
std::optional<IndexPageHeader> decode_index_page(ConstBytes page, std::uint64_t nonce);
/// The record page of a name by one of the lists of a well-formed page. Total for what the lists
/// hold.
std::optional<std::uint32_t> find_in_index_page(const IndexGeometry& geometry, ConstBytes page,
                                                const IndexPageHeader& header, ChapterPlace place,
                                                const RecordName& name);
/// Whether every list of a well-formed page can be decoded to its end and names existing pages.
bool are_lists_sound(const IndexGeometry& geometry, ConstBytes page, const IndexPageHeader& header);

/// Which lists are on which index page, for all chapters of the volume, by their slots.
/// index.md, 10; it must agree with the index pages on storage. 2 bytes for each index page but the
/// last of each chapter.
class IndexPageMap {
 public:
  explicit IndexPageMap(const IndexGeometry& geometry)
      : pages_(geometry.index_pages_per_chapter), last_lists_(geometry.chapters * (pages_ - 1)) {}

  /// The index page of a list: 0..I-1.
  [[nodiscard]] std::uint32_t page_of(std::uint64_t slot, std::uint32_t list) const {
    const std::uint16_t* last = last_lists_.data() + slot * (pages_ - 1);
    for (std::uint32_t page = 0; page + 1 < pages_; ++page) {
      if (list <= last[page]) return page;
    }
    return pages_ - 1;
  }
  /// The last list on each but the last page of a chapter.
  [[nodiscard]] std::span<std::uint16_t> last_lists(std::uint64_t slot) {
    return {last_lists_.data() + slot * (pages_ - 1), pages_ - 1};
  }
  /// Back to that of an index without chapters.
  void clear() { std::ranges::fill(last_lists_, std::uint16_t{0}); }
  [[nodiscard]] std::size_t saved_size() const { return 16 + 2 * last_lists_.size(); }
  /// Writes saved_size() bytes.
  void encode(std::uint64_t last_chapter, MutableBytes bytes) const;
  /// False if the bytes are no saved map.
  [[nodiscard]] bool decode(ConstBytes bytes);

 private:
  // Index pages of a chapter.
  std::uint32_t pages_;
  std::vector<std::uint16_t> last_lists_;
};

/// What it takes to make the index of a chapter, kept from one chapter to the next.
class ChapterIndexRoom {
 public:
  explicit ChapterIndexRoom(const IndexGeometry& geometry);

  /// Puts the records in order of their lists, and of the addresses within these.
  Task<void> sort(Executor& executor, const IndexGeometry& geometry,
                  std::span<const IndexRecord> records);
  /// The sorted records of a list, as their addresses above their numbers.
  using Key = std::uint64_t;
  [[nodiscard]] std::span<const Key> keys_of(std::uint32_t list) const {
    const std::uint32_t first = begin_of(list);
    return std::span(keys_).subspan(first, begin_of(list + 1) - first);
  }
  /// Room for the length of each list.
  [[nodiscard]] std::span<std::uint64_t> bits() { return bits_; }

 private:
  /// First into buckets by list and the upper bits of the address: about one record in each.
  static constexpr unsigned kFineBits = 6;
  [[nodiscard]] std::uint32_t begin_of(std::uint32_t list) const {
    return begin_[std::size_t{list} << kFineBits];
  }
  std::vector<Key> keys_;
  std::vector<std::uint32_t> begin_;  // of each bucket, and the end
  std::vector<std::uint32_t> next_;   // free place of each bucket
  std::vector<std::uint64_t> bits_;
};

/// Makes the index pages of a full chapter, whose record i is on record page i / 1024. `pages`
/// takes I * kIndexPageSize bytes (and kBitSlack writable ones behind), `last_lists` I - 1
/// numbers. The number of records that had no room and stay out of the index. Gives way every now
/// and then; nothing of all that may change meanwhile.
Task<std::uint64_t> encode_chapter_index(Executor& executor, const IndexGeometry& geometry,
                                         std::uint64_t nonce, std::uint64_t chapter,
                                         std::span<const IndexRecord> records, MutableBytes pages,
                                         std::span<std::uint16_t> last_lists,
                                         ChapterIndexRoom& room);

}  // namespace uvdo
