// SPDX-License-Identifier: GPL-2.0-or-later
// Memory of the tables of several slabs. It is taken when the volume is opened, so that the first
// use of a slab allocates nothing, and touched as far as slabs are used.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/block_types.h"
#include "base/page_memory.h"
#include "format/reference_block.h"
#include "format/slab_config.h"

namespace uvdo {

/// What is known of a block of reference counts in memory.
struct ReferenceBlock {
  SlabSequence dirty_since{0};  ///< {0}: clean
  bool writing = false;
};

struct SlabTables {
  std::span<ReferenceCount> counts;      ///< of the data blocks; zeros at first
  std::span<ReferenceBlock> references;  ///< not constructed before the slab is used
  std::span<std::uint32_t> holds;        ///< by block of the slab journal; zeros at first
  std::span<std::uint64_t> freed;        ///< a bit for each area of data blocks; zeros at first
};

/// Data blocks of which it is known together whether some have become free.
inline constexpr std::uint32_t kFreedAreaBlocks = 64;

/// Of each slab one piece: counts, then reference blocks, then holds, then areas, each from a
/// multiple of 64 bytes on. The memory comes as zeros.
class SlabMemory {
 public:
  SlabMemory(const SlabConfig& config, std::size_t slabs)
      : config_(config), memory_(slabs * bytes_of_slab(config)) {
    memory_.allow_huge_pages();
  }

  /// Bytes that the tables of one slab take.
  [[nodiscard]] static std::uint64_t bytes_of_slab(const SlabConfig& config) {
    return freed_at(config) + round_up(freed_words(config) * sizeof(std::uint64_t));
  }
  [[nodiscard]] SlabTables tables(std::size_t slab) const {
    std::byte* at = memory_.data() + slab * bytes_of_slab(config_);
    return {{reinterpret_cast<ReferenceCount*>(at), config_.data_blocks},
            {reinterpret_cast<ReferenceBlock*>(at + references_at(config_)),
             reference_blocks_used(config_.data_blocks)},
            {reinterpret_cast<std::uint32_t*>(at + holds_at(config_)), config_.slab_journal_blocks},
            {reinterpret_cast<std::uint64_t*>(at + freed_at(config_)), freed_words(config_)}};
  }

 private:
  static constexpr std::uint64_t round_up(std::uint64_t bytes) { return (bytes + 63) / 64 * 64; }
  static std::uint64_t references_at(const SlabConfig& config) {
    return round_up(config.data_blocks);
  }
  static std::uint64_t holds_at(const SlabConfig& config) {
    return references_at(config) +
           round_up(reference_blocks_used(config.data_blocks) * sizeof(ReferenceBlock));
  }
  static std::uint64_t freed_at(const SlabConfig& config) {
    return holds_at(config) + round_up(config.slab_journal_blocks * sizeof(std::uint32_t));
  }
  static std::uint64_t freed_words(const SlabConfig& config) {
    const std::uint64_t areas = (config.data_blocks + kFreedAreaBlocks - 1) / kFreedAreaBlocks;
    return (areas + 63) / 64;
  }

  SlabConfig config_;
  PageMemory memory_;
};

}  // namespace uvdo
