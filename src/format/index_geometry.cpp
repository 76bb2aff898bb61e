// SPDX-License-Identifier: GPL-2.0-or-later
// The formulas of index.md, 2 and 2.1, in its letters where it names them.
#include "format/index_geometry.h"

#include <algorithm>

#include <fmt/core.h>

#include "base/block_types.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kMemoryUnit = 65536;  ///< list memory is rounded up to this
constexpr std::int32_t kMaxGigabytes = 1024;

constexpr std::uint64_t divide_up(std::uint64_t a, std::uint64_t b) { return (a + b - 1) / b; }
constexpr std::uint64_t round_up(std::uint64_t a, std::uint64_t b) { return divide_up(a, b) * b; }

/// What the memory value says: pages a chapter, chapters before reduction, reduced or not.
struct Base {
  std::uint32_t record_pages = 0;
  std::uint64_t chapters = 0;
  bool reduced = false;
};

/// chapters == 0: the value means nothing.
Base base_of(IndexMemory memory) {
  switch (memory.value) {
    case -256: return {64, 1024, false};
    case -512: return {128, 1024, false};
    case -768: return {192, 1024, false};
    case -1280: return {64, 1024, true};
    case -1536: return {128, 1024, true};
    case -1792: return {192, 1024, true};
    default: break;
  }
  constexpr std::int32_t kReduced = 4096;
  const bool reduced = memory.value > kReduced;
  const std::int32_t gigabytes = reduced ? memory.value - kReduced : memory.value;
  if (gigabytes < 1 || gigabytes > kMaxGigabytes) return {};
  return {256, 1024 * static_cast<std::uint64_t>(gigabytes), reduced};
}

/// Over `records` records a chapter, and `chapters` chapters (index.md, 2).
SubIndexGeometry sub_index(std::uint64_t records, std::uint64_t chapters) {
  SubIndexGeometry g;
  g.records_per_chapter = records;
  g.chapters = chapters;
  g.rounded_chapters = round_up(chapters, 2);
  const std::uint64_t c = g.rounded_chapters;
  g.lists = static_cast<std::uint32_t>(std::max<std::uint64_t>(records * c / 256, 256));
  g.address_bits = index_bits(4096 * 256 - 1);
  g.chapter_bits = index_bits(c - 1);
  g.total_chapters = c + std::max<std::uint64_t>(c / 256, 2);
  g.mean_delta = (std::uint64_t{g.lists} << 20U) / (records * g.total_chapters);
  g.code = delta_code_of(g.mean_delta);
  g.chapter_size_bits = records * (g.chapter_bits + g.code.minimum_bits + 1) + records / 2;
  g.expected_bytes = g.chapter_size_bits * g.total_chapters / 8;
  g.list_memory = g.expected_bytes * 106 / 100;
  g.target_free = g.expected_bytes / 20;
  return g;
}

/// In a save: head, list heads and the memory of the lists (index.md, 2.1).
std::uint64_t saved_bytes(const SubIndexGeometry& g) {
  return 80 + 17 * std::uint64_t{g.lists} + round_up(g.list_memory, kMemoryUnit);
}

/// From the record pages of a chapter all that a chapter has.
void compute_chapter(IndexGeometry& g) {
  const std::uint64_t k = std::uint64_t{kRecordsPerPage} * g.record_pages_per_chapter;
  g.records_per_chapter = static_cast<std::uint32_t>(k);
  g.chapter_list_bits = index_bits((k - 1) | 63U) - 6;
  g.chapter_lists = 1U << g.chapter_list_bits;
  g.chapter_address_bits = 16 - g.chapter_list_bits + index_bits(k - 1);
  g.chapter_payload_bits = index_bits(g.record_pages_per_chapter - 1);
  g.chapter_code = delta_code_of(kChapterMeanDelta);
  const std::uint64_t lists = g.chapter_lists;
  const std::uint64_t bits = k * (g.chapter_payload_bits + g.chapter_code.minimum_bits + 1) + k / 2;
  const std::uint64_t usable = (kIndexPageSize - 20) * 8 - (19 + bits / lists);
  g.index_pages_per_chapter = static_cast<std::uint32_t>(divide_up(bits + 19 * lists, usable));
  g.pages_per_chapter = g.index_pages_per_chapter + g.record_pages_per_chapter;
}

/// The blocks of each part of the region, and of all (index.md, 2.1).
void compute_region(IndexGeometry& g) {
  g.volume_blocks = kIndexBlocksPerPage * (1 + g.chapters * g.pages_per_chapter);
  const std::uint64_t map_entries = g.chapters * (g.index_pages_per_chapter - 1);
  g.page_map_blocks = divide_up(16 + 2 * map_entries, kBlockSize);
  g.open_chapter_blocks = divide_up(14 + 32 * std::uint64_t{g.records_per_chapter}, kBlockSize);
  std::uint64_t bytes = saved_bytes(g.dense);
  if (g.sparse) bytes += saved_bytes(g.hooks) + 12;
  g.volume_index_blocks = divide_up(bytes + 8, kBlockSize) + 16;
  g.save_blocks = 1 + g.volume_index_blocks + g.page_map_blocks + g.open_chapter_blocks;
  g.region_blocks = 3 + g.volume_blocks + 2 * g.save_blocks;
}

}  // namespace

DeltaCode delta_code_of(std::uint64_t mean_delta) {
  DeltaCode code;
  // About the mean times ln 2, in integers.
  const std::uint64_t n = (836158 * mean_delta + 603160) / 1206321;
  code.values_per_bit = static_cast<std::uint32_t>(n);
  code.minimum_bits = index_bits(n + 1);
  code.short_values = static_cast<std::uint32_t>((1ULL << code.minimum_bits) - n);
  return code;
}

std::uint64_t SubIndexGeometry::zone_memory(std::uint32_t zones) const {
  return round_up(list_memory / zones, kMemoryUnit);
}

std::uint64_t SubIndexGeometry::zone_limit_bits(std::uint32_t zones) const {
  return (zones * zone_memory(zones) - target_free) * 8 / zones;
}

Result<IndexGeometry> compute_index_geometry(IndexMemory memory, bool sparse) {
  const Base base = base_of(memory);
  if (base.chapters == 0) {
    return Error(Errc::invalid_argument,
                 fmt::format("{} is no memory size of an index: use 0.25, 0.5, 0.75 or 1 to {} "
                             "gigabytes",
                             memory.value, kMaxGigabytes));
  }
  const std::uint64_t chapters =
      base.chapters * (sparse ? 10 : 1) - static_cast<std::uint64_t>(base.reduced);
  IndexGeometry g =
      index_geometry_of(base.record_pages, chapters, sparse ? 19 * base.chapters / 2 : 0);
  g.memory = memory;
  g.reduced = base.reduced;
  return g;
}

IndexGeometry index_geometry_of(std::uint32_t record_pages, std::uint64_t chapters,
                                std::uint64_t sparse_chapters) {
  IndexGeometry g;
  g.sparse = sparse_chapters > 0;
  // By this a reduced index is known everywhere (index.md, 2).
  g.reduced = chapters % 2 != 0;
  g.record_pages_per_chapter = record_pages;
  g.chapters = chapters;
  g.sparse_chapters = sparse_chapters;
  g.dense_chapters = g.chapters - g.sparse_chapters;
  compute_chapter(g);
  const std::uint64_t k = g.records_per_chapter;
  if (g.sparse) {
    g.dense = sub_index(k - k / kSparseSampleRate, g.dense_chapters);
    g.hooks = sub_index(k / kSparseSampleRate, g.chapters);
  } else {
    g.dense = sub_index(k, g.chapters);
  }
  compute_region(g);
  return g;
}

}  // namespace uvdo
