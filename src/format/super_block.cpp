// SPDX-License-Identifier: GPL-2.0-or-later
// Encoding, decoding and validation of the super block.
#include "format/super_block.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include <fmt/core.h>

#include "base/crc32.h"
#include "format/component_header.h"
#include "format/reference_block.h"
#include "format/slab_summary.h"

namespace uvdo {
namespace {

// All offsets and sizes: volume.md, 4.
constexpr std::size_t kChecksumSize = 4;
constexpr std::size_t kPartitionSize = 25;

// The components, in their order, and where their headers lie.
constexpr ComponentHeader kSuperBlockHeader{0, 12, 0, 418};
constexpr ComponentHeader kLayoutHeader{1, 3, 0, 17 + 4 * kPartitionSize};
constexpr ComponentHeader kJournalHeader{2, 7, 0, 24};
constexpr ComponentHeader kDepotHeader{3, 2, 0, 73};
constexpr ComponentHeader kBlockMapHeader{4, 2, 0, 32};
constexpr std::size_t kLayoutOffset = 108;
constexpr std::size_t kJournalOffset = kLayoutOffset + kComponentHeaderSize + kLayoutHeader.size;
constexpr std::size_t kDepotOffset = kJournalOffset + kComponentHeaderSize + kJournalHeader.size;
constexpr std::size_t kBlockMapOffset = kDepotOffset + kComponentHeaderSize + kDepotHeader.size;
constexpr std::size_t kChecksumOffset =
    kBlockMapOffset + kComponentHeaderSize + kBlockMapHeader.size;
// By the table of the document: the sums above must come to the same.
static_assert(kJournalOffset == 245 && kDepotOffset == 289 && kBlockMapOffset == 382);
static_assert(kChecksumOffset == 434 && kChecksumOffset + kChecksumSize == kSuperBlockSize);
static_assert(kSuperBlockHeader.size == kSuperBlockSize - kComponentHeaderSize);
// A sector is written as a whole or not at all: the super block is never torn.
static_assert(kSuperBlockSize <= kSectorSize);

constexpr std::uint32_t kVolumeVersion = 67;
constexpr std::uint32_t kComponentVersion = 41;
// Of the flat block map, which no volume has any more: volume.md, 4.
constexpr std::uint64_t kFlatPageOrigin = 1;
constexpr std::uint32_t kLastState = 7;
/// The slab summary has 8 bits for a place in a slab's journal.
constexpr std::uint64_t kMaxSlabJournalBlocks = 256;

/// In the order in which the table was read, which means nothing (volume.md, 4).
void write_layout(ByteWriter& out, const Layout& layout) {
  check(out.offset() == kLayoutOffset, "offset of the layout");
  write_component_header(out, kLayoutHeader);
  out.le64(layout.first_free.value());
  out.le64(layout.last_free.value());
  out.u8(static_cast<std::uint8_t>(layout.partitions.size()));
  for (const Partition& partition : layout.partitions) {
    out.u8(static_cast<std::uint8_t>(partition.id));
    out.le64(partition.start.value());
    out.le64(0);
    out.le64(partition.blocks);
  }
}

void write_depot(ByteWriter& out, const SlabDepotState& depot) {
  check(out.offset() == kDepotOffset, "offset of the slab depot");
  write_component_header(out, kDepotHeader);
  out.le64(depot.slab.slab_blocks);
  out.le64(depot.slab.data_blocks);
  out.le64(depot.slab.reference_count_blocks);
  out.le64(depot.slab.slab_journal_blocks);
  out.le64(depot.slab.flushing);
  out.le64(depot.slab.blocking);
  out.le64(depot.slab.scrubbing);
  out.le64(depot.first_block.value());
  out.le64(depot.last_block.value());
  out.u8(depot.zone_count);
}

template <class... Args>
Error corrupt(fmt::format_string<Args...> text, Args&&... args) {
  return {Errc::corrupt,
          "the super block is damaged: " + fmt::format(text, std::forward<Args>(args)...)};
}

Result<void> expect(ByteReader& in, const ComponentHeader& wanted, std::string_view what) {
  return expect_component_header(read_component_header(in), wanted, what);
}

Result<void> expect_version(ByteReader& in, std::uint32_t wanted, std::string_view what) {
  const std::uint32_t major_version = in.le32();
  const std::uint32_t minor_version = in.le32();
  if (major_version == wanted && minor_version == 0) return {};
  return Error(Errc::unsupported, fmt::format("the {} version is {}.{}, but only {}.0 is supported",
                                              what, major_version, minor_version, wanted));
}

/// What comes before the components: versions, state, counters, sizes.
Result<void> read_config(ByteReader& in, SuperBlock& s) {
  s.unused = in.le32();
  if (auto ok = expect_version(in, kVolumeVersion, "volume's"); !ok) return ok;
  if (auto ok = expect_version(in, kComponentVersion, "VDO component's"); !ok) return ok;
  s.state = static_cast<VolumeState>(in.le32());
  s.complete_recoveries = in.le64();
  s.read_only_recoveries = in.le64();
  s.config.logical_blocks = in.le64();
  s.config.physical_blocks = in.le64();
  s.config.slab_size = in.le64();
  s.config.journal_size = in.le64();
  s.config.slab_journal_size = in.le64();
  s.nonce = in.le64();
  return {};
}

Result<void> read_layout(ByteReader& in, Layout& layout) {
  if (auto ok = expect(in, kLayoutHeader, "layout"); !ok) return ok;
  layout.first_free = Pbn{in.le64()};
  layout.last_free = Pbn{in.le64()};
  const std::uint8_t count = in.u8();
  // As many as there are kinds; that all kinds are there is seen in validate_layout().
  if (count != layout.partitions.size()) {
    return corrupt("it has {} partitions, not {}", count, layout.partitions.size());
  }
  for (Partition& partition : layout.partitions) {
    partition.id = static_cast<PartitionId>(in.u8());
    partition.start = Pbn{in.le64()};
    in.skip(8);
    partition.blocks = in.le64();
  }
  return {};
}

Result<void> read_depot(ByteReader& in, SlabDepotState& depot) {
  if (auto ok = expect(in, kDepotHeader, "slab depot"); !ok) return ok;
  depot.slab.slab_blocks = in.le64();
  depot.slab.data_blocks = in.le64();
  depot.slab.reference_count_blocks = in.le64();
  depot.slab.slab_journal_blocks = in.le64();
  depot.slab.flushing = in.le64();
  depot.slab.blocking = in.le64();
  depot.slab.scrubbing = in.le64();
  depot.first_block = Pbn{in.le64()};
  depot.last_block = Pbn{in.le64()};
  depot.zone_count = in.u8();
  return {};
}

Result<void> read_block_map(ByteReader& in, BlockMapState& map) {
  if (auto ok = expect(in, kBlockMapHeader, "block map"); !ok) return ok;
  const std::uint64_t flat_origin = in.le64();
  const std::uint64_t flat_count = in.le64();
  if (flat_origin != kFlatPageOrigin || flat_count != 0) {
    return Error(Errc::unsupported, "the volume has a flat block map, which is not supported");
  }
  map.root_origin = Pbn{in.le64()};
  map.root_count = in.le64();
  return {};
}

/// Each size by itself; how they fit together is seen below.
Result<void> validate_config(const SuperBlock& s) {
  const VolumeConfig& c = s.config;
  if (static_cast<std::uint32_t>(s.state) > kLastState) {
    return corrupt("its state is {}", static_cast<std::uint32_t>(s.state));
  }
  if (!std::has_single_bit(c.slab_size) || c.slab_size > kMaxSlabBlocks) {
    return corrupt("its slabs have {} blocks, which is no power of two up to {}", c.slab_size,
                   kMaxSlabBlocks);
  }
  if (c.slab_journal_size < 2 ||
      c.slab_journal_size > std::min(c.slab_size, kMaxSlabJournalBlocks)) {
    return corrupt("its slab journals have {} blocks, not 2 to {}", c.slab_journal_size,
                   std::min(c.slab_size, kMaxSlabJournalBlocks));
  }
  if (c.physical_blocks == 0 || c.physical_blocks > kMaxPhysicalBlocks) {
    return corrupt("its physical size of {} blocks is not 1 to {}", c.physical_blocks,
                   kMaxPhysicalBlocks);
  }
  if (c.logical_blocks == 0 || c.logical_blocks > kMaxLogicalBlocks) {
    return corrupt("its logical size of {} blocks is not 1 to {}", c.logical_blocks,
                   kMaxLogicalBlocks);
  }
  if (!std::has_single_bit(c.journal_size)) {
    return corrupt("its recovery journal has {} blocks, which is no power of two", c.journal_size);
  }
  if (s.journal.journal_start.value() >= kMaxSequence) {
    return corrupt("its journal start {} is not below 2^48", s.journal.journal_start.value());
  }
  return {};
}

/// All four partitions, once each, one behind the other from the super block to the end.
Result<void> validate_layout(const SuperBlock& s, const VolumeGeometry& geometry) {
  std::array<Partition, 4> sorted = s.layout.partitions;
  std::ranges::sort(sorted, {}, &Partition::id);
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    if (sorted[i].id != static_cast<PartitionId>(i)) {
      return corrupt("the {} partition is missing", name_of(static_cast<PartitionId>(i)));
    }
  }
  std::ranges::sort(sorted, {}, &Partition::start);
  Pbn at = geometry.data_start + 1;
  for (const Partition& partition : sorted) {
    // Sizes up to that of the volume, so that the sum cannot wrap around.
    if (partition.start != at || partition.blocks > s.config.physical_blocks) {
      return corrupt("the {} partition of {} blocks is at {}, not at {}", name_of(partition.id),
                     partition.blocks, partition.start.value(), at.value());
    }
    at = partition.end();
  }
  if (at.value() != s.config.physical_blocks) {
    return corrupt("its partitions end at block {}, but the volume at {}", at.value(),
                   s.config.physical_blocks);
  }
  const std::array<std::pair<PartitionId, std::uint64_t>, 3> sizes{
      {{PartitionId::block_map, kBlockMapRoots},
       {PartitionId::recovery_journal, s.config.journal_size},
       {PartitionId::slab_summary, kSlabSummaryBlocks}}};
  for (const auto& [id, blocks] : sizes) {
    if (s.find(id).blocks != blocks) {
      return corrupt("its {} partition has {} blocks, not {}", name_of(id), s.find(id).blocks,
                     blocks);
    }
  }
  return {};
}

/// The slabs' own books fit behind their data, and the slabs fit the depot (volume.md, 4.2).
Result<void> validate_slabs(const SuperBlock& s) {
  const SlabConfig& slab = s.depot.slab;
  if (slab.slab_blocks != s.config.slab_size ||
      slab.slab_journal_blocks != s.config.slab_journal_size) {
    return corrupt("its slabs are of {} blocks with {} of journal, but of {} with {}",
                   s.config.slab_size, s.config.slab_journal_size, slab.slab_blocks,
                   slab.slab_journal_blocks);
  }
  if (slab.data_blocks == 0 || slab.data_blocks > slab.slab_blocks ||
      slab.reference_count_blocks > slab.slab_blocks ||
      slab.data_blocks + slab.reference_count_blocks + slab.slab_journal_blocks >
          slab.slab_blocks ||
      slab.reference_count_blocks < reference_blocks_used(slab.data_blocks)) {
    return corrupt("slabs of {} blocks cannot hold {} of data, {} of counts and {} of journal",
                   slab.slab_blocks, slab.data_blocks, slab.reference_count_blocks,
                   slab.slab_journal_blocks);
  }
  if (std::max({slab.flushing, slab.blocking, slab.scrubbing}) > slab.slab_journal_blocks) {
    return corrupt("its slab journal thresholds {}, {} and {} are above {} blocks", slab.flushing,
                   slab.blocking, slab.scrubbing, slab.slab_journal_blocks);
  }
  // A threshold of 0 is reached by an empty journal.
  if (slab.flushing == 0 || slab.blocking == 0) {
    return corrupt("writers would wait for slab journals of {} blocks at {} in use, for ever",
                   slab.slab_journal_blocks, std::min(slab.flushing, slab.blocking));
  }
  const Partition depot = s.find(PartitionId::slab_depot);
  const std::uint64_t slabs = depot.blocks / slab.slab_blocks;
  if (slabs == 0 || slabs > kMaxSlabs) {
    return corrupt("it has {} slabs, not 1 to {}", slabs, kMaxSlabs);
  }
  if (s.depot.first_block != depot.start ||
      s.depot.last_block != depot.start + slabs * slab.slab_blocks) {
    return corrupt("its slabs lie from {} to {}, not from {} to {}", s.depot.first_block.value(),
                   s.depot.last_block.value(), depot.start.value(),
                   depot.start.value() + slabs * slab.slab_blocks);
  }
  // Of each zone the summary has an area.
  if (s.depot.zone_count > kMaxPhysicalZones) {
    return corrupt("it has {} physical zones, not up to {}", s.depot.zone_count, kMaxPhysicalZones);
  }
  return {};
}

}  // namespace

static_assert(kSlabSummaryBlocks == std::uint64_t{kSummaryZones} * kSummaryBlocksPerZone);
static_assert(kMaxSlabs == std::uint64_t{kSummaryBlocksPerZone} * kSummaryEntriesPerBlock);
static_assert(kMaxPhysicalZones == kSummaryZones);

std::string_view name_of(VolumeState state) {
  switch (state) {
    case VolumeState::dirty: return "DIRTY";
    case VolumeState::new_volume: return "NEW";
    case VolumeState::clean: return "CLEAN";
    case VolumeState::read_only_mode: return "READ_ONLY_MODE";
    case VolumeState::force_rebuild: return "FORCE_REBUILD";
    case VolumeState::recovering: return "RECOVERING";
    case VolumeState::replaying: return "REPLAYING";
    case VolumeState::rebuild_for_upgrade: return "REBUILD_FOR_UPGRADE";
  }
  return "UNKNOWN";
}

std::string_view name_of(PartitionId id) {
  switch (id) {
    case PartitionId::block_map: return "block map";
    case PartitionId::slab_depot: return "slab depot";
    case PartitionId::recovery_journal: return "recovery journal";
    case PartitionId::slab_summary: return "slab summary";
  }
  return "unknown";
}

Partition Layout::find(PartitionId id) const {
  const auto* found = std::ranges::find(partitions, id, &Partition::id);
  check(found != partitions.end(), "a layout has all four partitions");
  return *found;
}

void encode_super_block(const SuperBlock& super_block, MutableBytes block) {
  check(block.size() == kBlockSize, "a super block is 4096 bytes");
  const SuperBlock& s = super_block;
  std::memset(block.data(), 0, block.size());
  ByteWriter out(block);
  write_component_header(out, kSuperBlockHeader);
  out.le32(s.unused);
  for (const std::uint32_t version : {kVolumeVersion, kComponentVersion}) {
    out.le32(version);
    out.le32(0);
  }
  out.le32(static_cast<std::uint32_t>(s.state));
  out.le64(s.complete_recoveries);
  out.le64(s.read_only_recoveries);
  out.le64(s.config.logical_blocks);
  out.le64(s.config.physical_blocks);
  out.le64(s.config.slab_size);
  out.le64(s.config.journal_size);
  out.le64(s.config.slab_journal_size);
  out.le64(s.nonce);
  write_layout(out, s.layout);
  // Each component is where readers look for it.
  check(out.offset() == kJournalOffset, "offset of the recovery journal");
  write_component_header(out, kJournalHeader);
  out.le64(s.journal.journal_start.value());
  out.le64(s.journal.logical_blocks_used);
  out.le64(s.journal.block_map_blocks);
  write_depot(out, s.depot);
  check(out.offset() == kBlockMapOffset, "offset of the block map");
  write_component_header(out, kBlockMapHeader);
  out.le64(kFlatPageOrigin);
  out.le64(0);
  out.le64(s.block_map.root_origin.value());
  out.le64(s.block_map.root_count);
  check(out.offset() == kChecksumOffset, "offset of the checksum");
  out.le32(vdo_crc32(block.first(kChecksumOffset)));
}

Result<void> validate_super_block(const SuperBlock& super_block, const VolumeGeometry& geometry) {
  const SuperBlock& s = super_block;
  if (s.nonce != geometry.nonce) {
    return corrupt("it belongs to another volume, with nonce {} instead of {}", s.nonce,
                   geometry.nonce);
  }
  if (auto ok = validate_config(s); !ok) return ok;
  if (auto ok = validate_layout(s, geometry); !ok) return ok;
  if (auto ok = validate_slabs(s); !ok) return ok;
  const Partition map = s.find(PartitionId::block_map);
  // The roots are named twice, and both must agree.
  if (s.block_map.root_origin != map.start || s.block_map.root_count != kBlockMapRoots) {
    return corrupt("it has {} block map roots at {}, not {} at {}", s.block_map.root_count,
                   s.block_map.root_origin.value(), kBlockMapRoots, map.start.value());
  }
  return {};
}

Result<SuperBlock> decode_super_block(ConstBytes block, const VolumeGeometry& geometry) {
  check(block.size() == kBlockSize, "a super block is 4096 bytes");
  SuperBlock s;
  ByteReader in(block);
  if (auto ok = expect(in, kSuperBlockHeader, "super block"); !ok) return std::move(ok).error();
  // Before anything is believed; the header alone comes first, so that another version is called
  // so.
  const std::uint32_t stored = load_le32(block.data() + kChecksumOffset);
  const std::uint32_t computed = vdo_crc32(block.first(kChecksumOffset));
  if (stored != computed) {
    return corrupt("its checksum is {:#010x}, but {:#010x} was computed", stored, computed);
  }
  if (auto ok = read_config(in, s); !ok) return std::move(ok).error();
  if (auto ok = read_layout(in, s.layout); !ok) return std::move(ok).error();
  if (auto ok = expect(in, kJournalHeader, "recovery journal"); !ok) return std::move(ok).error();
  s.journal.journal_start = JournalSequence{in.le64()};
  s.journal.logical_blocks_used = in.le64();
  s.journal.block_map_blocks = in.le64();
  if (auto ok = read_depot(in, s.depot); !ok) return std::move(ok).error();
  if (auto ok = read_block_map(in, s.block_map); !ok) return std::move(ok).error();
  check(in.offset() == kChecksumOffset, "offset of the checksum");
  if (auto ok = validate_super_block(s, geometry); !ok) return std::move(ok).error();
  return s;
}

}  // namespace uvdo
