// SPDX-License-Identifier: GPL-2.0-or-later
// Every size of a deduplication index that follows from its memory size and sparseness
// (index.md, 2 and 2.1), among them the number of blocks that a volume reserves for it.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "format/index_memory.h"

namespace uvdo {

/// P, in bytes.
inline constexpr std::uint64_t kIndexPageSize = 32768;
inline constexpr std::uint64_t kIndexBlocksPerPage = kIndexPageSize / 4096;
/// Of 32 bytes each.
inline constexpr std::uint32_t kRecordsPerPage = 1024;
/// For which the lists in a chapter are coded, whatever their deltas are.
inline constexpr std::uint32_t kChapterMeanDelta = 65536;
inline constexpr std::uint32_t kSparseSampleRate = 32;  ///< one name in 32 is a hook

/// The number of binary digits of n; 1 for 0.
[[nodiscard]] constexpr std::uint32_t index_bits(std::uint64_t n) {
  std::uint32_t bits = 1;
  while (n >>= 1U) ++bits;
  return bits;
}

/// The three numbers that code deltas of a given mean (index.md, 7.2).
struct DeltaCode {
  std::uint32_t minimum_bits = 0;    ///< m
  std::uint32_t short_values = 0;    ///< k: values that take m bits
  std::uint32_t values_per_bit = 0;  ///< n: values for each further bit
  friend bool operator==(const DeltaCode&, const DeltaCode&) = default;
};
[[nodiscard]] DeltaCode delta_code_of(std::uint64_t mean_delta);

/// The volume index, or one of the two of a sparse index.
struct SubIndexGeometry {
  std::uint64_t records_per_chapter = 0;
  std::uint64_t chapters = 0;
  std::uint64_t rounded_chapters = 0;  ///< c': even, so that a reduced index hashes as before
  std::uint32_t lists = 0;             ///< delta lists
  std::uint32_t address_bits = 0;
  std::uint32_t chapter_bits = 0;
  std::uint64_t total_chapters = 0;  ///< with room for expired entries not yet removed
  std::uint64_t mean_delta = 0;
  DeltaCode code;
  std::uint64_t chapter_size_bits = 0;  ///< of the entries of a chapter, about
  std::uint64_t expected_bytes = 0;     ///< of those of all chapters
  std::uint64_t list_memory = 0;        ///< bytes
  std::uint64_t target_free = 0;        ///< bytes of it that are to stay free

  /// Bytes of list memory of each of `zones` zones.
  [[nodiscard]] std::uint64_t zone_memory(std::uint32_t zones) const;
  /// Bits that a zone may use before it discards old chapters.
  [[nodiscard]] std::uint64_t zone_limit_bits(std::uint32_t zones) const;
};

struct IndexGeometry {
  IndexMemory memory;
  bool sparse = false;
  bool reduced = false;

  std::uint32_t record_pages_per_chapter = 0;  ///< R
  std::uint64_t chapters = 0;                  ///< C
  std::uint64_t sparse_chapters = 0;           ///< S
  std::uint64_t dense_chapters = 0;            ///< D
  std::uint32_t records_per_chapter = 0;       ///< K
  std::uint32_t chapter_list_bits = 0;         ///< b
  std::uint32_t chapter_lists = 0;             ///< L
  std::uint32_t chapter_address_bits = 0;
  std::uint32_t chapter_payload_bits = 0;
  DeltaCode chapter_code;
  std::uint32_t index_pages_per_chapter = 0;  ///< I
  std::uint32_t pages_per_chapter = 0;

  SubIndexGeometry dense;  ///< all names, or the names of a sparse index that are not hooks
  SubIndexGeometry hooks;  ///< the sampled names; all 0 unless sparse

  std::uint64_t volume_blocks = 0;        ///< V
  std::uint64_t page_map_blocks = 0;      ///< A
  std::uint64_t open_chapter_blocks = 0;  ///< O
  std::uint64_t volume_index_blocks = 0;  ///< X
  std::uint64_t save_blocks = 0;          ///< W
  std::uint64_t region_blocks = 0;        ///< the whole index region
};

/// All sizes; invalid_argument for a memory size that no index has. Total for any raw value.
Result<IndexGeometry> compute_index_geometry(IndexMemory memory, bool sparse);
/// The sizes of an index of any shape, for tests: no memory value stands for it.
IndexGeometry index_geometry_of(std::uint32_t record_pages, std::uint64_t chapters,
                                std::uint64_t sparse_chapters);

}  // namespace uvdo
