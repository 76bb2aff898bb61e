// SPDX-License-Identifier: GPL-2.0-or-later
// How a volume is used. What is on disk does not depend on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "async/executor.h"
#include "async/work_thread.h"
#include "base/fault_points.h"
#include "base/machine_memory.h"
#include "blockmap/page_replay.h"
#include "device/device.h"
#include "format/volume_geometry.h"
#include "index/dedupe_index.h"

namespace uvdo {

/// What a volume is opened for.
enum class VolumeAccess : std::uint8_t {
  read_write,
  read_only,                  ///< not a byte is written; what its journal says is kept in memory
  read_only_without_journal,  ///< the same, as the block map on disk says
};

/// What is a size here is memory that is taken when the volume is opened, so that requests take
/// none.
struct VolumeOptions {
  VolumeAccess access = VolumeAccess::read_write;
  std::uint32_t block_map_cache_pages = 32768;  ///< 4 KiB each
  std::uint32_t block_map_maximum_age = 16380;  ///< journal blocks, 1..16380
  std::uint64_t buffer_bytes = 64ULL << 20U;    ///< data in flight
  /// Each of the pools of buffers that the volume itself needs (VolumeBuffers).
  std::uint64_t internal_buffer_bytes = 4ULL << 20U;
  bool compression = false;
  /// Compressed blocks that are kept until others fill a physical block with them: the more, the
  /// less space is lost. 8 KiB each.
  std::uint32_t packer_fragments = 768;
  /// Writes under way, or gatherings of small ones; with so many, more of them wait.
  std::size_t write_jobs = 1024;
  /// Slab journal blocks that wait to be written, at least 2; with so many, changes wait.
  std::size_t slab_journal_blocks = 1024;
  /// Blocks that are to become free once the journal is stable and nobody reads them any more; with
  /// so many, writes and discards wait.
  std::size_t frees_under_way = 65536;
  bool deduplication = true;
  /// A commit of the journal at the latest this long after a write, flush or not.
  Duration commit_delay = std::chrono::milliseconds(50);
  /// So long new writes are held back where the device has no room; then they fail with no_space
  /// until there is some.
  Duration no_space_timeout = std::chrono::seconds(60);
  /// Whether blocks that have become free are discarded beneath (Trimmer).
  bool discards_freed = false;
  /// They wait so long, and with them those that become free meanwhile.
  Duration discard_delay = std::chrono::seconds(2);
  /// Where blocks are named and compressed.
  WorkPlace work;
  /// Few small writes, which have been answered, wait so long for company on their way to the work
  /// thread: to wake it costs more than they do. Whoever waits for them ends that.
  Duration gather_delay{0};
  /// Uses a work thread.
  void use(WorkThread& thread) {
    work = WorkPlace(&thread);
    gather_delay = std::chrono::microseconds(500);
  }
  /// Asked before the volume grows: how much memory the process can have in all. Without it there
  /// is enough.
  std::function<MachineMemory()> memory_within_reach;
  /// Changes of block map pages that a recovery holds in memory, 16 bytes each.
  std::size_t replay_batch = PageReplay::kBatch;
  /// Mistakes to be made on purpose, in tests.
  FaultPoints faults;
};

/// co_await give_way(...): between pieces of what a client may ask for at any length.
[[nodiscard]] inline auto give_way(Executor& executor, const VolumeOptions& options) {
  return executor.give_way(!options.faults.is_on(Fault::long_request_keeps_turn));
}

/// Makes the index of a volume; `create` if the volume is new.
using IndexFactory = std::function<std::unique_ptr<DedupeIndex>(
    Executor& executor, Device& device, const VolumeGeometry& geometry, bool create)>;

}  // namespace uvdo
