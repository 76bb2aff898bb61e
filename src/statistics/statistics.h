// SPDX-License-Identifier: GPL-2.0-or-later
// Everything that a volume counts (behaviour.md, 14). Names mirror the keys of dm-vdo's
// `stats` message; what it lacks stands at the end, under `savings` and `extra`. Plain numbers:
// the volume fills them, statistics_text.h and the JSON of the command line show them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "statistics/part_statistics.h"

namespace uvdo {

/// Version of the set of statistics, as the kernel's.
inline constexpr std::uint64_t kStatisticsVersion = 36;

/// The kernel's words (behaviour.md, 14); a finer word for people is Condition (watch/health.h).
enum class OperatingMode : std::uint8_t { normal, recovering, read_only };

/// uvdo takes its memory at the start: both are what the volume needs at most.
struct MemoryUsageStatistics {
  std::uint64_t bytes_used = 0;
  std::uint64_t peak_bytes_used = 0;
};

/// Where the space of the logical device went, in blocks of 4096 bytes. They add up:
///   logical blocks = thin + zero + deduplicated + compressed + data blocks used,
/// each block that takes no space of its own being counted once. A running volume knows only `thin`
/// until it has been asked for the others (Volume::count_savings); it leaves unset what it does not
/// know. Beyond 65536 compressed blocks it estimates the two that follow from them.
struct SavingsStatistics {
  std::uint64_t thin_blocks = 0;             ///< never written, or discarded
  std::optional<std::uint64_t> zero_blocks;  ///< written as zeros
  /// Logical blocks less the different contents that they refer to.
  std::optional<std::uint64_t> deduplicated_blocks;
  /// Different fragments less the compressed blocks that hold them.
  std::optional<std::uint64_t> compressed_blocks;
  /// Logical blocks that are stored as fragments, duplicates included.
  std::optional<std::uint64_t> fragments_mapped;
};

/// How often somebody had to wait for something of a pool.
struct PoolShortages {
  std::uint64_t buffers = 0;  ///< clients' data
  std::uint64_t merge_buffers = 0;
  std::uint64_t scratch_buffers = 0;
  std::uint64_t fragment_buffers = 0;
  std::uint64_t write_jobs = 0;
  std::uint64_t slab_journal_blocks = 0;
  std::uint64_t frees = 0;  ///< blocks on their way to being free
};

/// What uvdo counts besides.
struct ExtraStatistics {
  bool running = false;                ///< false: taken from a stopped volume's disk
  bool suspended = false;              ///< requests of clients wait until it is resumed
  bool is_counted = false;             ///< all has been counted, though the volume is read-only
  std::string index_state = "closed";  ///< closed closing error offline online opening suspended
  bool compression = false;            ///< whether new data is compressed
  bool deduplication = false;          ///< whether new data is deduplicated
  std::uint64_t buffer_bytes = 0;      ///< reserved for requests in flight
  std::uint64_t buffer_bytes_in_use = 0;
  PoolShortages shortages;
  /// Requests to the file or disk beneath that failed since the server began.
  std::uint64_t device_failed_reads = 0;
  std::uint64_t device_failed_writes = 0;
  std::uint64_t device_failed_flushes = 0;
  std::uint64_t room_waiting_bytes = 0;  ///< written, and waiting for room beneath
  /// Whether free blocks are discarded beneath: off, on, or refused, by the device.
  std::string discard_state = "off";
  std::uint64_t discarded_runs = 0;           ///< of free blocks, beneath
  std::uint64_t discarded_bytes = 0;          ///< of these, as often as they were
  std::uint64_t index_records_under_way = 0;  ///< of stored blocks, not yet in the index
  std::uint64_t unscrubbed_slabs = 0;         ///< whose reference counts are not loaded yet
  /// What is no data block of a slab, as `overhead_blocks_used` without the block map's pages.
  std::uint64_t fixed_overhead_blocks = 0;
};

/// All of one moment. Counters begin with the start of the volume, but for those of the super
/// block; of a stopped volume only these, sizes, used blocks and savings are there.
struct VolumeStatistics {
  std::uint64_t version = kStatisticsVersion;
  std::uint64_t data_blocks_used = 0;      ///< with a count, less the block map's
  std::uint64_t overhead_blocks_used = 0;  ///< physical - slabs * data blocks + block map blocks
  std::uint64_t logical_blocks_used = 0;   ///< mapped, blocks of zeros included
  std::uint64_t physical_blocks = 0;
  std::uint64_t logical_blocks = 0;
  std::uint64_t block_map_cache_size = 0;  ///< bytes
  std::uint64_t block_size = 4096;
  std::uint64_t complete_recoveries = 0;
  std::uint64_t read_only_recoveries = 0;
  OperatingMode mode = OperatingMode::normal;
  bool in_recovery_mode = false;
  std::uint64_t recovery_percentage = 100;
  PackerStatistics packer;
  AllocatorStatistics allocator;
  RecoveryJournalStatistics journal;
  SlabJournalStatistics slab_journal;
  SlabSummaryStatistics slab_summary;
  ReferenceCountStatistics ref_counts;
  BlockMapStatistics block_map;
  HashLockStatistics hash_lock;
  ErrorStatistics errors;
  /// The number of this start, where somebody counts starts: 1 in uvdo, 0 of a stopped volume.
  std::uint64_t instance = 0;
  std::uint64_t current_vios_in_progress = 0;
  std::uint64_t max_vios = 0;
  std::uint64_t dedupe_advice_timeouts = 0;
  std::uint64_t flush_out = 0;
  std::uint64_t logical_block_size = 4096;  ///< 512: sector writes are offered
  /// Requests: of clients (bios_in, and of these bios_in_partial, which do not cover whole blocks);
  /// to the device for data (bios_out), for all metadata (bios_meta), and of these for the journal
  /// and the pages of the map; then the same as far as they have been done.
  BioCounts bios_in;
  BioCounts bios_in_partial;
  BioCounts bios_out;
  BioCounts bios_meta;
  BioCounts bios_journal;
  BioCounts bios_page_cache;
  BioCounts bios_out_completed;
  BioCounts bios_meta_completed;
  BioCounts bios_journal_completed;
  BioCounts bios_page_cache_completed;
  BioCounts bios_acknowledged;
  BioCounts bios_acknowledged_partial;
  BioCounts bios_in_progress;  ///< bios_in - bios_acknowledged
  MemoryUsageStatistics memory_usage;
  IndexStatistics index;
  SavingsStatistics savings;
  ExtraStatistics extra;

  /// All of it by key: statistics_fields.h.
  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor& visitor);
};

}  // namespace uvdo
