// SPDX-License-Identifier: GPL-2.0-or-later
#include "index/record_page.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "index/bit_string.h"

namespace uvdo {
namespace {

/// The place in heap order of each place in sorted order.
constexpr std::array<std::uint16_t, kRecordsPerPage> make_heap_places() {
  std::array<std::uint16_t, kRecordsPerPage> places{};
  std::array<std::uint16_t, 16> path{};
  std::size_t depth = 0;
  std::size_t rank = 0;
  std::uint32_t node = 0;
  // An in-order walk of the complete tree: to the left as far as it goes, the node, then to its
  // right.
  while (depth > 0 || node < kRecordsPerPage) {
    while (node < kRecordsPerPage) {
      path[depth++] = static_cast<std::uint16_t>(node);
      node = 2 * node + 1;
    }
    node = path[--depth];
    places[rank++] = static_cast<std::uint16_t>(node);
    node = 2 * node + 2;
  }
  return places;
}
constexpr std::array<std::uint16_t, kRecordsPerPage> kHeapPlaces = make_heap_places();

}  // namespace

/// Sorted by buckets, then each bucket with more than one by itself; then from sorted to heap
/// order.
void encode_record_page(std::span<const IndexRecord> records, MutableBytes page) {
  check(records.size() == kRecordsPerPage && page.size() == kIndexPageSize,
        "a record page is always full");
  struct Key {
    std::uint64_t prefix;
    std::uint32_t place;
  };
  // Names are hashes: by their first ten bits nearly each gets a bucket of its own.
  constexpr unsigned kBucketShift = 54;
  std::array<std::uint16_t, kRecordsPerPage + 1> begin{};
  for (const IndexRecord& record : records) {
    ++begin[(load_be64(record.name.bytes.data()) >> kBucketShift) + 1];
  }
  for (std::size_t i = 1; i < begin.size(); ++i) {
    begin[i] = static_cast<std::uint16_t>(begin[i] + begin[i - 1]);
  }
  std::array<std::uint16_t, kRecordsPerPage + 1> next(begin);
  // Eight bytes of each name and where it is, so that sorting moves 16 bytes and seldom looks
  // further.
  std::array<Key, kRecordsPerPage> keys;
  for (std::uint32_t i = 0; i < kRecordsPerPage; ++i) {
    const std::uint64_t prefix = load_be64(records[i].name.bytes.data());
    keys[next[prefix >> kBucketShift]++] = {prefix, i};
  }
  for (std::size_t bucket = 0; bucket < kRecordsPerPage; ++bucket) {
    if (begin[bucket + 1] - begin[bucket] < 2) continue;
    std::sort(keys.begin() + begin[bucket], keys.begin() + begin[bucket + 1],
              [&](const Key& a, const Key& b) {
                if (a.prefix != b.prefix) return a.prefix < b.prefix;
                return records[a.place].name < records[b.place].name;
              });
  }
  for (std::size_t rank = 0; rank < kRecordsPerPage; ++rank) {
    std::memcpy(page.data() + kHeapPlaces[rank] * kRecordSize, &records[keys[rank].place],
                kRecordSize);
  }
}

std::optional<IndexData> find_in_record_page(ConstBytes page, const RecordName& name) {
  const std::uint64_t prefix = load_be64(name.bytes.data());
  std::size_t node = 0;
  while (node < kRecordsPerPage) {
    const std::byte* record = page.data() + node * kRecordSize;
    const std::uint64_t its_prefix = load_be64(record);
    // Eleven steps at most; a page that is no tree leads somewhere else, and never beyond its end.
    bool smaller = prefix < its_prefix;
    if (prefix == its_prefix) [[unlikely]] {
      const int order = std::memcmp(name.bytes.data(), record, name.bytes.size());
      if (order == 0) {
        IndexData data;
        std::memcpy(data.data(), record + name.bytes.size(), data.size());
        return data;
      }
      smaller = order < 0;
    }
    node = 2 * node + (smaller ? 1 : 2);
  }
  return std::nullopt;
}

}  // namespace uvdo
