// SPDX-License-Identifier: GPL-2.0-or-later
// What a volume is: what `uvdo info` and the control command "info" tell, stopped or in use, and
// what `uvdo format` tells of a new one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json_fields.h"
#include "format/super_block.h"
#include "format/volume_geometry.h"
#include "volume/volume.h"

namespace uvdo {

/// How the journal of a stopped volume was applied in memory.
struct DescribedReplay {
  std::uint64_t block_map_head = 0;
  std::uint64_t slab_journal_head = 0;
  std::uint64_t last_usable = 0;
  std::uint64_t highest_tail = 0;
  std::uint64_t entries = 0;
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.value("blockMapHead", self.block_map_head);
    v.value("slabJournalHead", self.slab_journal_head);
    v.value("lastUsable", self.last_usable);
    v.value("highestTail", self.highest_tail);
    v.value("entries", self.entries);
  }
};

/// What of the logical space a pool of LVM offers, in bytes.
struct DescribedLvmPool {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.value("offset", self.offset);
    v.value("size", self.size);
  }
};

/// All numbers of blocks count those of 4096 bytes.
struct VolumeDescription {
  /// A run of physical blocks.
  struct Part {
    std::string name;  ///< the key that its object stands under
    std::uint64_t start = 0;
    std::uint64_t blocks = 0;
    template <class Self, class Visitor>
    static void visit_fields(Self& self, Visitor& v) {
      v.required("start", self.start);
      v.required("blocks", self.blocks);
    }
  };
  struct Index {
    std::uint64_t start = 0;
    std::uint64_t blocks = 0;
    std::string memory;  ///< in GB: "0.25"
    std::int64_t memory_value = 0;
    bool is_sparse = false;
    std::uint64_t window_blocks = 0;  ///< of different data that it remembers
    template <class Self, class Visitor>
    static void visit_fields(Self& self, Visitor& v) {
      v.value("start", self.start);
      v.value("blocks", self.blocks);
      v.value("memory", self.memory);
      v.value("memoryValue", self.memory_value);
      v.value("sparse", self.is_sparse);
      v.value("windowBlocks", self.window_blocks);
    }
  };
  struct Slabs {
    std::uint64_t count = 0;
    std::uint64_t blocks = 0;  ///< of each; so are the next three
    std::uint64_t data_blocks = 0;
    std::uint64_t reference_count_blocks = 0;
    std::uint64_t journal_blocks = 0;
    std::uint64_t first_block = 0;
    std::uint64_t last_block = 0;
    std::uint64_t never_used = 0;
    std::optional<std::uint64_t> dirty{};  ///< as the disk says; of stopped volumes
    std::uint64_t physical_zones = 0;
    template <class Self, class Visitor>
    static void visit_fields(Self& self, Visitor& v) {
      v.value("count", self.count);
      v.value("blocks", self.blocks);
      v.value("dataBlocks", self.data_blocks);
      v.value("referenceCountBlocks", self.reference_count_blocks);
      v.value("journalBlocks", self.journal_blocks);
      v.value("firstBlock", self.first_block);
      v.value("lastBlock", self.last_block);
      v.value("neverUsed", self.never_used);
      v.value("dirty", self.dirty);
      v.value("physicalZones", self.physical_zones);
    }
  };
  struct Journal {
    std::uint64_t start = 0;
    std::uint64_t blocks = 0;
    // Of a volume in use.
    std::optional<std::uint64_t> head{};
    std::optional<std::uint64_t> tail{};
    std::optional<std::uint64_t> blocks_in_use{};
    // Of a stopped volume.
    std::optional<std::uint64_t> current_blocks{};  ///< to be replayed
    std::optional<std::uint64_t> first_current{};
    std::optional<std::uint64_t> last_current{};
    std::optional<DescribedReplay> replay{};
    std::optional<std::string> damage{};  ///< what is lost with it, in a sentence
    template <class Self, class Visitor>
    static void visit_fields(Self& self, Visitor& v) {
      v.value("start", self.start);
      v.value("blocks", self.blocks);
      v.optional("head", self.head);
      v.optional("tail", self.tail);
      v.optional("blocksInUse", self.blocks_in_use);
      v.optional("currentBlocks", self.current_blocks);
      v.optional("firstCurrent", self.first_current);
      v.optional("lastCurrent", self.last_current);
      v.optional("replay", self.replay);
      v.optional("damage", self.damage);
    }
  };
  std::string volume;  ///< what people call it
  std::string state;
  std::uint32_t state_number = 0;
  std::string uuid;
  std::uint64_t nonce = 0;
  std::uint32_t geometry_version = 0;
  std::uint64_t bio_offset = 0;
  std::uint64_t block_size = kBlockSize;
  std::uint64_t device_bytes = 0;
  std::uint64_t logical_blocks = 0;
  std::uint64_t physical_blocks = 0;
  std::uint64_t logical_blocks_used = 0;
  std::uint64_t block_map_blocks = 0;
  std::uint64_t complete_recoveries = 0;
  std::uint64_t read_only_recoveries = 0;
  Index index{};
  std::uint64_t super_block = 0;  ///< its place
  std::vector<Part> partitions{};
  Slabs slabs{};
  Journal journal{};
  bool is_truncated = false;          ///< the device is smaller than the volume
  std::optional<bool> served{};       ///< of one in use
  std::optional<std::string> mode{};  ///< the same
  std::optional<DescribedLvmPool> lvm_pool{};

  [[nodiscard]] bool is_served() const { return served.value_or(false); }
  /// Blocks that data can take.
  [[nodiscard]] std::uint64_t room_for_data() const { return slabs.count * slabs.data_blocks; }

  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& v) {
    v.required("volume", self.volume);
    v.value("state", self.state);
    v.value("stateNumber", self.state_number);
    v.value("uuid", self.uuid);
    v.value("nonce", self.nonce);
    v.value("geometryVersion", self.geometry_version);
    v.value("bioOffset", self.bio_offset);
    v.value("blockSize", self.block_size);
    v.value("deviceBytes", self.device_bytes);
    v.value("logicalBlocks", self.logical_blocks);
    v.value("physicalBlocks", self.physical_blocks);
    v.value("logicalBlocksUsed", self.logical_blocks_used);
    v.value("blockMapBlocks", self.block_map_blocks);
    v.value("completeRecoveries", self.complete_recoveries);
    v.value("readOnlyRecoveries", self.read_only_recoveries);
    v.value("index", self.index);
    v.value("superBlock", self.super_block);
    v.value("partitions", self.partitions);
    v.value("slabs", self.slabs);
    v.value("journal", self.journal);
    v.value("truncated", self.is_truncated);
    v.optional("served", self.served);
    v.optional("mode", self.mode);
    v.optional("lvmPool", self.lvm_pool);
  }
};

/// An object with a member for each, under its name.
template <>
struct JsonCodec<std::vector<VolumeDescription::Part>> {
  static Json write(const std::vector<VolumeDescription::Part>& parts);
  static std::optional<std::vector<VolumeDescription::Part>> read(const Json& json);
};

/// What geometry and super block tell of the volume `name` on a device of that size.
[[nodiscard]] VolumeDescription describe_volume(const VolumeGeometry& geometry,
                                                const SuperBlock& super_block,
                                                const std::string& name,
                                                std::uint64_t device_bytes);

/// What a volume in use is.
[[nodiscard]] VolumeDescription describe_volume(const Volume& volume, const std::string& name);

}  // namespace uvdo
