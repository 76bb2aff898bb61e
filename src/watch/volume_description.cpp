// SPDX-License-Identifier: GPL-2.0-or-later
#include "watch/volume_description.h"

#include "base/saturating.h"
#include "format/index_geometry.h"
#include "watch/health.h"

namespace uvdo {

Json JsonCodec<std::vector<VolumeDescription::Part>>::write(
    const std::vector<VolumeDescription::Part>& parts) {
  Json json = Json::object();
  for (const VolumeDescription::Part& part : parts) json[part.name] = fields_json(part);
  return json;
}

std::optional<std::vector<VolumeDescription::Part>>
JsonCodec<std::vector<VolumeDescription::Part>>::read(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  std::vector<VolumeDescription::Part> parts;
  for (const auto& [name, value] : json.items()) {
    VolumeDescription::Part part;
    part.name = name;
    if (read_fields(value, part)) return std::nullopt;
    parts.push_back(std::move(part));
  }
  return parts;
}

VolumeDescription describe_volume(const VolumeGeometry& geometry, const SuperBlock& super,
                                  const std::string& name, std::uint64_t device_bytes) {
  VolumeDescription d;
  d.volume = name;
  d.state = name_of(super.state);
  d.state_number = static_cast<std::uint32_t>(super.state);
  d.uuid = to_text(geometry.uuid);
  d.nonce = geometry.nonce;
  d.geometry_version = geometry.major_version;
  d.bio_offset = geometry.bio_offset;
  d.device_bytes = device_bytes;
  d.logical_blocks = super.config.logical_blocks;
  d.physical_blocks = super.config.physical_blocks;
  d.complete_recoveries = super.complete_recoveries;
  d.read_only_recoveries = super.read_only_recoveries;
  d.index.start = geometry.index_start.value();
  d.index.blocks = geometry.index_blocks();
  d.index.memory = to_text(geometry.index_memory);
  d.index.memory_value = geometry.index_memory.value;
  d.index.is_sparse = geometry.sparse;
  if (auto index = compute_index_geometry(geometry.index_memory, geometry.sparse)) {
    d.index.window_blocks = index->chapters * index->records_per_chapter;
  }
  d.super_block = geometry.data_start.value();
  for (const Partition& partition : super.layout.partitions) {
    d.partitions.push_back(
        {std::string(name_of(partition.id)), partition.start.value(), partition.blocks});
  }
  const SlabConfig& slab = super.depot.slab;
  d.slabs.count = super.depot.slab_count();
  d.slabs.blocks = slab.slab_blocks;
  d.slabs.data_blocks = slab.data_blocks;
  d.slabs.reference_count_blocks = slab.reference_count_blocks;
  d.slabs.journal_blocks = slab.slab_journal_blocks;
  d.slabs.first_block = super.depot.first_block.value();
  d.slabs.last_block = super.depot.last_block.value();
  d.slabs.physical_zones = super.depot.zone_count;
  d.journal.start = super.journal.journal_start.value();
  d.journal.blocks = super.config.journal_size;
  // Told and not refused: who looks wants to know.
  d.is_truncated = device_bytes < volume_end(geometry, super);
  return d;
}

VolumeDescription describe_volume(const Volume& volume, const std::string& name) {
  VolumeDescription d =
      describe_volume(volume.geometry(), volume.super_block(), name, volume.store().size());
  // Figures of this moment, in memory; the device is not asked.
  const VolumeStatistics statistics = volume.statistics();
  d.logical_blocks_used = statistics.logical_blocks_used;
  d.block_map_blocks =
      difference(statistics.overhead_blocks_used, statistics.extra.fixed_overhead_blocks);
  const SlabDepot& depot = volume.depot();
  for (SlabNumber i = 0; i < depot.slab_count(); ++i) {
    d.slabs.never_used += depot.slab(i).is_pristine() ? 1 : 0;
  }
  d.served = true;
  d.mode = name_of(condition_of(statistics));
  d.journal.head = volume.journal().durable_head().value();
  d.journal.tail = volume.journal().tail().value();
  d.journal.blocks_in_use = volume.journal().blocks_in_use();
  return d;
}

}  // namespace uvdo
