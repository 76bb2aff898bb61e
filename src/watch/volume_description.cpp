// SPDX-License-Identifier: GPL-2.0-or-later
#include "watch/volume_description.h"

#include "format/index_geometry.h"
#include "watch/health.h"

namespace uvdo {

Json describe_volume(const VolumeGeometry& geometry, const SuperBlock& super,
                     const VolumeFacts& facts) {
  const SlabConfig& slab = super.depot.slab;
  std::uint64_t window = 0;
  if (auto index = compute_index_geometry(geometry.index_memory, geometry.sparse)) {
    window = index->chapters * index->records_per_chapter;
  }
  Json partitions = Json::object();
  for (const Partition& partition : super.layout.partitions) {
    partitions[std::string(name_of(partition.id))] = {{"start", partition.start.value()},
                                                      {"blocks", partition.blocks}};
  }
  Json slabs = {{"count", super.depot.slab_count()},
                {"blocks", slab.slab_blocks},
                {"dataBlocks", slab.data_blocks},
                {"referenceCountBlocks", slab.reference_count_blocks},
                {"journalBlocks", slab.slab_journal_blocks},
                {"firstBlock", super.depot.first_block.value()},
                {"lastBlock", super.depot.last_block.value()},
                {"neverUsed", facts.slabs_never_used},
                {"dirty", facts.slabs_dirty ? Json(*facts.slabs_dirty) : Json(nullptr)},
                {"physicalZones", super.depot.zone_count}};
  return {
      {"volume", facts.name},
      {"state", std::string(name_of(super.state))},
      {"stateNumber", static_cast<std::uint32_t>(super.state)},
      {"uuid", to_text(geometry.uuid)},
      {"nonce", geometry.nonce},
      {"geometryVersion", geometry.major_version},
      {"bioOffset", geometry.bio_offset},
      {"blockSize", kBlockSize},
      {"deviceBytes", facts.device_bytes},
      {"logicalBlocks", super.config.logical_blocks},
      {"physicalBlocks", super.config.physical_blocks},
      {"logicalBlocksUsed", facts.logical_blocks_used},
      {"blockMapBlocks", facts.block_map_blocks},
      {"completeRecoveries", super.complete_recoveries},
      {"readOnlyRecoveries", super.read_only_recoveries},
      {"index",
       {{"start", geometry.index_start.value()},
        {"blocks", geometry.index_blocks()},
        {"memory", to_text(geometry.index_memory)},
        {"memoryValue", geometry.index_memory.value},
        {"sparse", geometry.sparse},
        {"windowBlocks", window}}},
      {"superBlock", geometry.data_start.value()},
      {"partitions", std::move(partitions)},
      {"slabs", std::move(slabs)},
      {"journal",
       {{"start", super.journal.journal_start.value()}, {"blocks", super.config.journal_size}}},
      {"truncated",
       facts.device_bytes / kBlockSize + geometry.bio_offset < super.config.physical_blocks},
  };
}

Json describe_volume(const Volume& volume, const std::string& name) {
  const SlabDepot& depot = volume.depot();
  VolumeFacts facts;
  facts.name = name;
  facts.device_bytes = volume.store().size();
  const VolumeStatistics statistics = volume.statistics();
  facts.logical_blocks_used = statistics.logical_blocks_used;
  facts.block_map_blocks = statistics.overhead_blocks_used - statistics.extra.fixed_overhead_blocks;
  for (SlabNumber i = 0; i < depot.slab_count(); ++i) {
    facts.slabs_never_used += depot.slab(i).is_pristine() ? 1 : 0;
  }
  Json json = describe_volume(volume.geometry(), volume.super_block(), facts);
  json["served"] = true;
  json["mode"] = std::string(name_of(condition_of(volume.statistics())));
  Json& journal = json["journal"];
  journal["head"] = volume.journal().durable_head().value();
  journal["tail"] = volume.journal().tail().value();
  journal["blocksInUse"] = volume.journal().blocks_in_use();
  return json;
}

}  // namespace uvdo
