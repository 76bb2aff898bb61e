// SPDX-License-Identifier: GPL-2.0-or-later
#include "estimate/recommendation.h"

#include <algorithm>
#include <array>

#include <fmt/core.h>

#include "base/block_types.h"
#include "base/size_text.h"
#include "format/block_map_page.h"
#include "format/index_geometry.h"
#include "format/slab_config.h"
#include "format/volume_layout.h"

namespace uvdo {
namespace {

struct IndexChoice {
  IndexMemory memory;
  bool sparse;
};
/// From the one that takes the least memory; from 1 GB on a sparse index remembers ten times as
/// much with the same.
constexpr std::array<IndexChoice, 9> kIndexes{{{kQuarterGigabyte, false},
                                               {kHalfGigabyte, false},
                                               {kThreeQuartersGigabyte, false},
                                               {IndexMemory{1}, false},
                                               {kHalfGigabyte, true},
                                               {kThreeQuartersGigabyte, true},
                                               {IndexMemory{1}, true},
                                               {IndexMemory{2}, true},
                                               {IndexMemory{4}, true}}};

/// The smallest index that would remember all these names.
Result<IndexChoice> index_for(std::uint64_t records) {
  for (const IndexChoice& choice : kIndexes) {
    auto geometry = compute_index_geometry(choice.memory, choice.sparse);
    if (!geometry) return std::move(geometry).error();
    if (geometry->chapters * geometry->records_per_chapter >= records) return choice;
  }
  return kIndexes.back();
}

constexpr unsigned kSmallestSlab = 15;       // 128 MiB
constexpr unsigned kUsualSlab = 19;          // 2 GiB
constexpr std::uint64_t kSlabsAtLeast = 16;  // so that the last one costs little
constexpr std::uint64_t kRoomToGrow = 16;    // times its first size

/// Slabs for so many blocks.
Result<std::uint64_t> slabs_for(std::uint64_t blocks, unsigned bits) {
  auto config = make_slab_config(std::uint64_t{1} << bits);
  if (!config) return std::move(config).error();
  return (blocks + config->data_blocks - 1) / config->data_blocks;
}

/// Small volumes get small slabs, and large ones slabs of which there can be enough.
unsigned slab_bits_for(std::uint64_t blocks) {
  unsigned bits = kUsualSlab;
  while (bits > kSmallestSlab && (blocks >> bits) < kSlabsAtLeast) --bits;
  while (bits < kMaxSlabBits && (blocks >> bits) * kRoomToGrow > kMaxSlabs) ++bits;
  return bits;
}

std::uint64_t rounded_up(std::uint64_t bytes) {
  const std::uint64_t unit =
      bytes < (std::uint64_t{1} << 30U) ? std::uint64_t{1} << 20U : std::uint64_t{1} << 30U;
  return std::max<std::uint64_t>(1, (bytes + unit - 1) / unit) * unit;
}

}  // namespace

Result<Recommendation> recommend(const Estimate& estimate, DataUse use) {
  Recommendation result;
  const std::uint64_t blocks = estimate.counts.data + estimate.counts.holes;
  // A file system takes some, and should not be full.
  const std::uint64_t logical =
      use == DataUse::file_system ? (blocks - estimate.counts.holes) * 5 / 4 : blocks;
  result.logical_bytes = rounded_up(logical * kBlockSize);
  auto index = index_for(estimate.index_records);
  if (!index) return std::move(index).error();
  result.index_memory = index->memory;
  result.sparse = index->sparse;
  // Pages of the block map are stored among the data.
  const std::uint64_t pages = result.logical_bytes / kBlockSize / kEntriesPerPage;
  const std::uint64_t stored = estimate.stored_blocks + estimate.margin_blocks;
  const std::uint64_t needed = stored + stored / 10 + pages + pages / 100 + 300;
  result.slab_bits = slab_bits_for(needed);
  auto slabs = slabs_for(needed, result.slab_bits);
  if (!slabs) return std::move(slabs).error();
  if (*slabs > kMaxSlabs) {
    return Error(Errc::out_of_range, "no volume can hold so much: part the data among several");
  }
  auto least = minimum_physical_blocks(result.slab_bits, result.index_memory, result.sparse);
  if (!least) return std::move(least).error();
  result.physical_bytes = rounded_up((*least + ((*slabs - 1) << result.slab_bits)) * kBlockSize);
  return result;
}

}  // namespace uvdo
