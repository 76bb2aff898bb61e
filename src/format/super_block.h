// SPDX-License-Identifier: GPL-2.0-or-later
// The super block: state, sizes and layout of a volume (volume.md, 4). It is the only place
// that says whether the volume was shut down cleanly.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/block_types.h"
#include "base/bytes.h"
#include "base/result.h"
#include "format/slab_config.h"
#include "format/volume_geometry.h"

namespace uvdo {

inline constexpr std::size_t kSuperBlockSize = 438;  ///< encoded bytes; one sector holds them
inline constexpr std::uint64_t kMaxPhysicalBlocks = 1ULL << 36;
inline constexpr std::uint64_t kMaxLogicalBlocks = 1ULL << 40;
inline constexpr std::uint64_t kRecoveryJournalBlocks = 32768;  ///< of new volumes
inline constexpr std::uint64_t kBlockMapRoots = 60;
inline constexpr std::uint64_t kSlabSummaryBlocks = 64;
inline constexpr std::uint64_t kMaxSequence = 1ULL << 48;  ///< all sequence numbers are below
inline constexpr unsigned kMaxPhysicalZones = 16;

/// What the volume was when the super block was written (volume.md, 4.1).
enum class VolumeState : std::uint32_t {
  dirty = 0,                ///< in use or crashed: recover
  new_volume = 1,           ///< formatted, never started
  clean = 2,                ///< all metadata are in place
  read_only_mode = 3,       ///< an error was met
  force_rebuild = 4,        ///< the administrator asked for a rebuild
  recovering = 5,           ///< saved while slabs waited for scrubbing
  replaying = 6,            ///< never written now; like dirty
  rebuild_for_upgrade = 7,  ///< like force_rebuild
};
/// The specification's name: "DIRTY", "NEW", "CLEAN", ...
[[nodiscard]] std::string_view name_of(VolumeState state);

enum class PartitionId : std::uint8_t {
  block_map = 0,
  slab_depot = 1,
  recovery_journal = 2,
  slab_summary = 3,
};
/// "block map", "slab depot", ...
[[nodiscard]] std::string_view name_of(PartitionId id);

struct Partition {
  PartitionId id = PartitionId::block_map;
  Pbn start;
  std::uint64_t blocks = 0;
  [[nodiscard]] Pbn end() const { return start + blocks; }
  friend bool operator==(const Partition&, const Partition&) = default;
};

struct VolumeConfig {
  std::uint64_t logical_blocks = 0;
  std::uint64_t physical_blocks = 0;
  std::uint64_t slab_size = 0;
  std::uint64_t journal_size = kRecoveryJournalBlocks;
  std::uint64_t slab_journal_size = kSlabJournalBlocks;
  friend bool operator==(const VolumeConfig&, const VolumeConfig&) = default;
};

/// The partitions, in the order in which they stand in the table (any order is right).
struct Layout {
  Pbn first_free;
  Pbn last_free;
  std::array<Partition, 4> partitions{};
  [[nodiscard]] Partition find(PartitionId id) const;
  friend bool operator==(const Layout&, const Layout&) = default;
};

struct RecoveryJournalState {
  JournalSequence journal_start{1};
  std::uint64_t logical_blocks_used = 0;
  std::uint64_t block_map_blocks = 0;  ///< tree pages in slabs, without the roots
  friend bool operator==(const RecoveryJournalState&, const RecoveryJournalState&) = default;
};

struct SlabDepotState {
  SlabConfig slab;
  Pbn first_block;
  Pbn last_block;               ///< after the last slab
  std::uint8_t zone_count = 0;  ///< with which the summary was last written; 0: never loaded
  [[nodiscard]] SlabNumber slab_count() const {
    return static_cast<SlabNumber>((last_block - first_block) / slab.slab_blocks);
  }
  friend bool operator==(const SlabDepotState&, const SlabDepotState&) = default;
};

struct BlockMapState {
  Pbn root_origin;
  std::uint64_t root_count = kBlockMapRoots;
  friend bool operator==(const BlockMapState&, const BlockMapState&) = default;
};

struct SuperBlock {
  std::uint32_t unused = 0;  ///< the geometry's
  VolumeState state = VolumeState::new_volume;
  std::uint64_t complete_recoveries = 0;
  std::uint64_t read_only_recoveries = 0;
  VolumeConfig config;
  std::uint64_t nonce = 0;
  Layout layout;
  RecoveryJournalState journal;
  SlabDepotState depot;
  BlockMapState block_map;

  [[nodiscard]] Partition find(PartitionId id) const { return layout.find(id); }
  /// The byte that journal blocks of this life of the volume carry.
  [[nodiscard]] std::uint8_t recovery_count() const {
    return static_cast<std::uint8_t>(complete_recoveries);
  }
  friend bool operator==(const SuperBlock&, const SuperBlock&) = default;
};

/// Fills all 4096 bytes of `block`. Does not validate: callers keep super blocks right.
void encode_super_block(const SuperBlock& super_block, MutableBytes block);

/// Whether a kernel would take this super block for a volume of this geometry; the error names
/// the first thing that is wrong. What passes is safe to compute with: sizes are bounded, no
/// partition or slab lies outside of the volume or over another.
Result<void> validate_super_block(const SuperBlock& super_block, const VolumeGeometry& geometry);

/// Decodes the 4096 bytes at geometry.data_start, and validates them. corrupt or unsupported.
Result<SuperBlock> decode_super_block(ConstBytes block, const VolumeGeometry& geometry);

/// The byte of its device behind the last block of a volume.
[[nodiscard]] inline std::uint64_t volume_end(const VolumeGeometry& geometry,
                                              const SuperBlock& super_block) {
  return device_byte(Pbn{super_block.config.physical_blocks}, geometry.bio_offset);
}

}  // namespace uvdo
