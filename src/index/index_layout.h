// SPDX-License-Identifier: GPL-2.0-or-later
// Where the parts of an index region lie, and the blocks that say so: super block, configuration
// and the headers of the two save areas (index.md, 3 to 5). Pure codecs; any bytes give a
// value or an Error: not_found and corrupt mean that there is no index here, unsupported that
// there is one which this program must leave alone.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "format/index_geometry.h"

namespace uvdo {

inline constexpr std::uint32_t kIndexSaves = 2;
inline constexpr std::uint64_t kNoChapter = ~std::uint64_t{0};
using NonceInformation = std::array<std::byte, 32>;

/// A run of blocks as a region table records it.
struct IndexRegion {
  std::uint64_t start = 0;
  std::uint64_t blocks = 0;
  std::uint16_t kind = 0;
  std::uint16_t instance = 65535;
};

/// The super block. Block numbers are of the backing device.
struct IndexLayout {
  NonceInformation nonce_information{};
  std::uint64_t volume_nonce = 0;
  /// 3, or 7 for an index that was converted and has moved since its numbers were recorded.
  std::uint32_t version = 3;
  std::uint64_t volume_offset = 0;  ///< version 7: how far the volume, and
  std::uint64_t start_offset = 0;   ///< how far everything, has moved
  std::uint64_t header_block = 0;
  std::uint64_t volume_block = 0;
  std::array<std::uint64_t, kIndexSaves> save_block{};
  std::uint64_t save_blocks = 0;
  /// The remapped chapter of a reduced index (index.md, 9.1); from the configuration.
  std::uint64_t remapped_virtual = 0;
  std::uint64_t remapped_physical = 0;

  [[nodiscard]] std::uint64_t config_block() const { return header_block + 1; }
  /// The number that block tables and nonces use for a block of a save area.
  [[nodiscard]] std::uint64_t recorded_save_block(std::uint32_t slot) const {
    return save_block[slot] + start_offset;
  }
};

/// The layout of a new index whose region starts at `start_block`.
IndexLayout new_index_layout(const IndexGeometry& geometry, std::uint64_t start_block,
                             const NonceInformation& information);
/// Writes the super block into 4096 bytes.
void encode_index_super_block(const IndexLayout& layout, const IndexGeometry& geometry,
                              MutableBytes block);
/// Checks all of the super block, also that its parts lie within `region_blocks` blocks.
Result<IndexLayout> decode_index_super_block(ConstBytes block, const IndexGeometry& geometry,
                                             std::uint64_t start_block,
                                             std::uint64_t region_blocks);

void encode_index_config(const IndexLayout& layout, const IndexGeometry& geometry,
                         std::uint64_t user_nonce, MutableBytes block);
/// Checks that the configuration is that of `geometry` and `user_nonce`, and takes the remapped
/// chapter from it.
Result<void> decode_index_config(ConstBytes block, const IndexGeometry& geometry,
                                 std::uint64_t user_nonce, IndexLayout& layout);

/// The header of a save area with a save in it. Block numbers are of the backing device.
/// As decoded, it has been checked to tile its area (index.md, 5).
struct IndexSave {
  std::uint64_t timestamp_ms = 0;
  std::uint64_t newest = 0;
  std::uint64_t oldest = 0;
  IndexRegion page_map;
  std::vector<IndexRegion> zones;  ///< of the volume index
  IndexRegion open_chapter;
};

/// A save with `zones` zones of equal size; only the chapters and the time are left to set.
IndexSave divide_save_area(const IndexLayout& layout, const IndexGeometry& geometry,
                           std::uint32_t slot, std::uint32_t zones);
void encode_save_header(const IndexLayout& layout, const IndexSave& save, std::uint32_t slot,
                        MutableBytes block);
/// The header of an area without a save.
void encode_empty_save_header(const IndexLayout& layout, const IndexGeometry& geometry,
                              std::uint32_t slot, MutableBytes block);
/// corrupt if the area holds no usable save, for whatever reason.
Result<IndexSave> decode_save_header(ConstBytes block, const IndexLayout& layout,
                                     std::uint32_t slot);

/// Nonces (index.md, 4.3).
std::uint64_t primary_index_nonce(const NonceInformation& information);
std::uint64_t index_volume_nonce(std::uint64_t primary, std::uint64_t recorded_start);
std::uint64_t index_save_nonce(std::uint64_t volume_nonce, std::uint64_t timestamp_ms,
                               std::uint32_t version, std::uint64_t recorded_start);

/// The slot of a chapter in the volume (index.md, 9.1).
std::uint64_t physical_chapter(const IndexGeometry& geometry, const IndexLayout& layout,
                               std::uint64_t chapter);
/// How many of the oldest chapters give way when `newest` becomes the newest.
std::uint64_t chapters_to_expire(const IndexGeometry& geometry, const IndexLayout& layout,
                                 std::uint64_t newest);

}  // namespace uvdo
