// SPDX-License-Identifier: GPL-2.0-or-later
// Reading (behaviour.md, 4): the map is walked a leaf at a time, neighbours on the device are read
// at once, and blocks that are being written are given from memory.
//
// What holds here: what the map and the writes under way say of a leaf's blocks is looked at
// without a wait in between, so that it fits together; and who has found a block in the map is in
// the depot's read epochs until it has been read, so that it keeps its data.
#pragma once

#include <span>

#include "block/block_service.h"
#include "ledger/ledger.h"
#include "volume/entrance.h"
#include "volume/in_flight.h"
#include "volume/index_holder.h"
#include "volume/volume_buffers.h"

namespace uvdo {

/// Buffers of clients may be at any address; the device wants them aligned, so others go by way of
/// a block of scratch memory.
class ReadPath {
 public:
  ReadPath(Executor& executor, PbnDevice blocks, Ledger& ledger, InFlight& in_flight,
           Entrance& entrance, const IndexHolder& index, VolumeBuffers& buffers,
           const VolumeOptions& options, RequestCounters& counters)
      : executor_(executor),
        blocks_(blocks),
        map_(ledger.map()),
        depot_(ledger.depot()),
        in_flight_(in_flight),
        entrance_(entrance),
        index_(index),
        buffers_(buffers),
        options_(options),
        counters_(counters) {}

  // ---- requests of clients (BlockService)
  Task<Result<void>> read(std::uint64_t offset, MutableBytes out);
  Task<Result<std::vector<Extent>>> extents(std::uint64_t offset, std::uint64_t length,
                                            std::size_t limit);

  /// Whole blocks, as clients see them.
  Task<Result<void>> read_blocks(Lbn first, MutableBytes out);
  /// Reads what `mapping`, which nobody vouches for, says. False if there is no such block now, or
  /// it cannot be read.
  Task<bool> read_unverified(BlockMapping mapping, MutableBytes out);

 private:
  /// Of consecutive blocks, those that one request reads.
  struct Run {
    std::size_t begin = 0;
    std::size_t count = 0;
  };
  /// Whether it can take a share of many reads.
  [[nodiscard]] bool has_free_work_thread() const;
  Task<Result<void>> read_parts(std::uint64_t offset, MutableBytes out);
  Task<Result<void>> read_mapped(Lbn first, std::span<const BlockMapping> mappings,
                                 MutableBytes out);
  Task<void> read_run(Run run, std::span<const BlockMapping> mappings, MutableBytes out,
                      Result<void>& failure);
  Task<Result<void>> read_by_way_of_scratch(std::span<const BlockMapping> mappings,
                                            MutableBytes out);
  /// The end of the hole that `page`, which does not exist, is in: the first block of a leaf that
  /// does, or the end of the volume.
  Task<Result<Lbn>> end_of_hole(PageNumber page);

  Executor& executor_;
  PbnDevice blocks_;
  BlockMap& map_;
  SlabDepot& depot_;
  InFlight& in_flight_;
  Entrance& entrance_;
  const IndexHolder& index_;
  VolumeBuffers& buffers_;
  const VolumeOptions& options_;
  RequestCounters& counters_;
};

}  // namespace uvdo
