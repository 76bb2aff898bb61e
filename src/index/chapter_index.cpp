// SPDX-License-Identifier: GPL-2.0-or-later
#include "index/chapter_index.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "index/delta_list.h"

namespace uvdo {
namespace {

// The parts of an index page (index.md, 9.2).
constexpr std::size_t kHeaderBytes = 20;
constexpr unsigned kOffsetBits = 19;
constexpr std::size_t kGuardBytes = 7;
constexpr std::uint64_t kListsEnd = (kIndexPageSize - kGuardBytes) * 8;
constexpr std::uint64_t kMaxLists = (kIndexPageSize - kHeaderBytes) * 8 / kOffsetBits;
// Bits for lists and their offsets on a page without any: 261909 (index.md, 12).
constexpr std::uint64_t kFirstFree = kListsEnd - kHeaderBytes * 8 - kOffsetBits;
/// Between two looks at whether the turn is over.
constexpr std::size_t kRecordsAtOnce = 1024;
constexpr std::string_view kMapMagic = "ALBIPM02";

std::uint64_t list_offset(ConstBytes page, std::uint64_t list) {
  return load_bits(page.data(), kHeaderBytes * 8 + list * kOffsetBits) & low_bits(kOffsetBits);
}

/// A list of a well-formed page, by its number on that page.
DeltaListReader list_reader(const IndexGeometry& geometry, ConstBytes page, std::uint64_t list) {
  return {page.data(), list_offset(page, list), list_offset(page, list + 1), geometry.chapter_code,
          geometry.chapter_payload_bits};
}

/// A record on its way into the index: its address above its number.
using Key = ChapterIndexRoom::Key;
std::uint32_t record_of(Key key) { return static_cast<std::uint32_t>(key); }
std::uint32_t address_of(Key key) { return static_cast<std::uint32_t>(key >> 32U); }

/// The length that put_list() will have, with a whole name for each record behind the first of its
/// address.
std::uint64_t bits_of_list(const IndexGeometry& geometry, std::span<const Key> keys) {
  std::uint64_t bits = 0;
  std::uint32_t last = 0;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const std::uint32_t delta = address_of(keys[i]) - last;
    bits += geometry.chapter_payload_bits + coded_bits(geometry.chapter_code, delta);
    if (i > 0 && delta == 0) bits += kNameBits;
    last = address_of(keys[i]);
  }
  return bits;
}

void put_list(const IndexGeometry& geometry, std::span<const Key> keys,
              std::span<const IndexRecord> records, BitWriter& writer) {
  std::uint32_t last = 0;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const std::uint32_t delta = address_of(keys[i]) - last;
    put_entry(writer, geometry.chapter_code, geometry.chapter_payload_bits,
              record_of(keys[i]) / kRecordsPerPage, delta);
    if (i > 0 && delta == 0) writer.put_bytes(records[record_of(keys[i])].name.bytes);
    last = address_of(keys[i]);
  }
}

/// Empties lists until those from `first` on fit on one page.
/// As the kernel does it (index.md, 12): a name that is left out of the index misses from then on.
void shed_overflow(std::uint32_t first, std::span<std::uint64_t> bits) {
  for (;;) {
    std::uint64_t free = kFirstFree;
    std::size_t list = first;
    while (list < bits.size() && kOffsetBits + bits[list] <= free) {
      free -= kOffsetBits + bits[list++];
    }
    if (list == bits.size()) return;
    // The first list that does not fit gives way, or the nearest before it that has anything.
    while (bits[list] == 0 && list > first) --list;
    bits[list] = 0;
  }
}

}  // namespace

ChapterIndexRoom::ChapterIndexRoom(const IndexGeometry& geometry)
    : keys_(geometry.records_per_chapter),
      begin_((std::size_t{geometry.chapter_lists} << kFineBits) + 1),
      next_(begin_.size()),
      bits_(geometry.chapter_lists) {}

Task<void> ChapterIndexRoom::sort(Executor& executor, const IndexGeometry& geometry,
                                  std::span<const IndexRecord> records) {
  check(records.size() <= keys_.size(), "a chapter has more records than it may have");
  // Three passes: how many records each bucket gets, where they go, and the order within the few
  // buckets that have more than one.
  const unsigned shift = geometry.chapter_address_bits - kFineBits;
  const auto bucket_of = [&](const ChapterPlace& place) {
    return (std::size_t{place.list} << kFineBits) + (place.address >> shift);
  };
  std::fill(begin_.begin(), begin_.end(), 0);
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (i % kRecordsAtOnce == 0) {
      co_await executor.give_way();
      executor.spend(kRecordsAtOnce);
    }
    ++begin_[bucket_of(chapter_place_of(geometry, records[i].name)) + 1];
  }
  for (std::size_t i = 1; i < begin_.size(); ++i) begin_[i] += begin_[i - 1];
  std::copy(begin_.begin(), begin_.end(), next_.begin());
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (i % kRecordsAtOnce == 0) {
      co_await executor.give_way();
      executor.spend(kRecordsAtOnce);
    }
    const ChapterPlace place = chapter_place_of(geometry, records[i].name);
    keys_[next_[bucket_of(place)]++] = Key{place.address} << 32U | i;
  }
  for (std::size_t i = 1; i < begin_.size(); ++i) {
    if (i % kRecordsAtOnce == 0) {
      co_await executor.give_way();
      executor.spend(kRecordsAtOnce);
    }
    if (begin_[i] - begin_[i - 1] < 2) continue;
    std::sort(keys_.begin() + begin_[i - 1], keys_.begin() + begin_[i]);
  }
}

/// index.md, 9.2. The four fields of the header may be big-endian, on pages of very old hosts.
std::optional<IndexPageHeader> decode_index_page(ConstBytes page, std::uint64_t nonce) {
  IndexPageHeader header;
  if (load_le64(page.data()) == nonce) {
    header = {load_le64(page.data() + 8), load_le16(page.data() + 16), load_le16(page.data() + 18)};
  } else if (load_be64(page.data()) == nonce) {
    header = {load_be64(page.data() + 8), load_be16(page.data() + 16), load_be16(page.data() + 18)};
  } else {
    return std::nullopt;
  }
  if (header.lists > kMaxLists) return std::nullopt;
  std::uint64_t last = kHeaderBytes * 8 + kOffsetBits * (std::uint64_t{header.lists} + 1);
  // The first list begins behind the offsets, none ends before it begins, and the last ends before
  // the guard: with that every list can be read without leaving the page.
  if (list_offset(page, 0) != last) return std::nullopt;
  for (std::uint64_t i = 1; i <= header.lists; ++i) {
    const std::uint64_t offset = list_offset(page, i);
    if (offset < last) return std::nullopt;
    last = offset;
  }
  if (last > kListsEnd) return std::nullopt;
  for (std::size_t i = 0; i < kGuardBytes; ++i) {
    if (page[kIndexPageSize - kGuardBytes + i] != std::byte{0xFF}) return std::nullopt;
  }
  return header;
}

std::optional<std::uint32_t> find_in_index_page(const IndexGeometry& geometry, ConstBytes page,
                                                const IndexPageHeader& header, ChapterPlace place,
                                                const RecordName& name) {
  if (!header.has(place.list)) return std::nullopt;
  const auto match = find_in_delta_list(list_reader(geometry, page, place.list - header.first_list),
                                        place.address, name);
  // The lists of a page that is used for lookups have not been looked at: any payload may be there.
  if (!match || match->payload >= geometry.record_pages_per_chapter) return std::nullopt;
  return static_cast<std::uint32_t>(match->payload);
}

/// For a rebuild, which takes nothing on trust; lookups are content with what find_in_index_page()
/// checks.
bool are_lists_sound(const IndexGeometry& geometry, ConstBytes page,
                     const IndexPageHeader& header) {
  DeltaEntry entry;
  for (std::uint32_t list = 0; list < header.lists; ++list) {
    DeltaListReader reader = list_reader(geometry, page, list);
    auto step = DeltaListReader::Step::entry;
    while ((step = reader.next(entry)) == DeltaListReader::Step::entry) {
      if (entry.payload >= geometry.record_pages_per_chapter) return false;
    }
    if (step != DeltaListReader::Step::end) return false;
  }
  return true;
}

void IndexPageMap::encode(std::uint64_t last_chapter, MutableBytes bytes) const {
  ByteWriter writer(bytes);
  writer.bytes(std::as_bytes(std::span(kMapMagic)));
  writer.le64(last_chapter);
  for (const std::uint16_t last : last_lists_) writer.le16(last);
}

bool IndexPageMap::decode(ConstBytes bytes) {
  if (bytes.size() < saved_size() ||
      std::memcmp(bytes.data(), kMapMagic.data(), kMapMagic.size()) != 0) {
    return false;
  }
  ByteReader reader(bytes);
  reader.skip(16);
  for (std::uint16_t& last : last_lists_) last = reader.le16();
  return true;
}

/// index.md, 12: the lengths of all lists first, then page after page.
Task<std::uint64_t> encode_chapter_index(Executor& executor, const IndexGeometry& geometry,
                                         std::uint64_t nonce, std::uint64_t chapter,
                                         std::span<const IndexRecord> records, MutableBytes pages,
                                         std::span<std::uint16_t> last_lists,
                                         ChapterIndexRoom& room) {
  co_await room.sort(executor, geometry, records);
  const std::span<std::uint64_t> bits = room.bits();
  for (std::uint32_t list = 0; list < geometry.chapter_lists; ++list) {
    co_await executor.give_way();
    executor.spend(room.keys_of(list).size());
    bits[list] = bits_of_list(geometry, room.keys_of(list));
    // A list that is too long is left out as a whole: its names miss from then on.
    if (bits[list] > kMaxDeltaListBits) bits[list] = 0;
  }
  std::uint64_t left_out = 0;
  std::uint32_t first = 0;
  for (std::uint32_t number = 0; number < geometry.index_pages_per_chapter; ++number) {
    const bool is_last = number + 1 == geometry.index_pages_per_chapter;
    // Nothing comes behind the last page, so that all lists left must fit on it.
    if (is_last) shed_overflow(first, bits);
    // As many lists as fit.
    std::uint32_t end = first;
    for (std::uint64_t free = kFirstFree;
         end < geometry.chapter_lists && kOffsetBits + bits[end] <= free; ++end) {
      free -= kOffsetBits + bits[end];
    }
    std::byte* page = pages.data() + number * kIndexPageSize;
    std::memset(page, 0, kIndexPageSize);
    store_le64(page, nonce);
    store_le64(page + 8, chapter);
    store_le16(page + 16, static_cast<std::uint16_t>(first));
    store_le16(page + 18, static_cast<std::uint16_t>(end - first));
    // The offsets first, with that of the end; then the lists they point to.
    BitWriter offsets(page, kHeaderBytes * 8);
    std::uint64_t at = kHeaderBytes * 8 + kOffsetBits * (std::uint64_t{end} - first + 1);
    offsets.put(at, kOffsetBits);
    for (std::uint32_t list = first; list < end; ++list) {
      at += bits[list];
      offsets.put(at, kOffsetBits);
    }
    BitWriter lists(page, kHeaderBytes * 8 + kOffsetBits * (std::uint64_t{end} - first + 1));
    for (std::uint32_t list = first; list < end; ++list) {
      co_await executor.give_way();
      executor.spend(2 * room.keys_of(list).size());
      if (bits[list] != 0) {
        put_list(geometry, room.keys_of(list), records, lists);
      } else {
        // Its names stay on their record pages and are not found by way of this index.
        left_out += room.keys_of(list).size();
      }
    }
    // The guard comes last, as the writer clobbers what is behind its bits.
    std::memset(page + kIndexPageSize - kGuardBytes, 0xFF, kGuardBytes);
    if (!is_last) last_lists[number] = static_cast<std::uint16_t>(end - 1);
    first = end;
  }
  co_return left_out;
}

}  // namespace uvdo
