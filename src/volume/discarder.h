// SPDX-License-Identifier: GPL-2.0-or-later
// Discards and zeros (behaviour.md, 5.6): whole blocks only change the map, a leaf at a time, and
// where there is no leaf nothing is done; parts of blocks that have data are written as zeros.
//
// What holds here: a discard never takes a block, not even for a page of the map, but for a part of
// a block that has data; a writer that holds a block meanwhile ends first, and what it has written
// after the discard began may stay.
#pragma once

#include "volume/write_path.h"

namespace uvdo {

/// Long requests go piece by piece and may be broken off between two pieces; what is done stays
/// done.
class Discarder {
 public:
  Discarder(Executor& executor, Entrance& entrance, WriteAdmission& admission, Ledger& ledger,
            InFlight& in_flight, WritePath& writes, Maintenance& maintenance,
            VolumeBuffers& buffers, const VolumeOptions& options, RequestCounters& counters)
      : executor_(executor),
        entrance_(entrance),
        admission_(admission),
        ledger_(ledger),
        map_(ledger.map()),
        depot_(ledger.depot()),
        locks_(in_flight.locks()),
        writes_(writes),
        maintenance_(maintenance),
        buffers_(buffers),
        options_(options),
        counters_(counters) {}

  // ---- requests of clients (BlockService)
  Task<Result<void>> discard(std::uint64_t offset, std::uint64_t length, Durability durability);
  Task<Result<void>> write_zeroes(std::uint64_t offset, std::uint64_t length, ZeroMode mode,
                                  Durability durability);

 private:
  enum class Zeroing : std::uint8_t {
    discard,  ///< no mapping; parts of blocks may keep their data
    punch,    ///< no mapping
    map,      ///< mapped to zeros, so that a later write needs no map page
  };
  Task<Result<void>> zero_range(PatientRequest& request, std::uint64_t offset, std::uint64_t length,
                                Zeroing how, Durability durability);
  Task<Result<void>> zero_pieces(std::uint64_t offset, std::uint64_t length, Zeroing how,
                                 Durability durability, const Refusal& refusal);
  /// Writes zeros to a part of a block, if it has data: where there are none nothing is allocated,
  /// no page of the map either.
  Task<Result<void>> zero_part(std::uint64_t offset, std::uint64_t length, Zeroing how,
                               Durability durability, const Refusal& refusal);
  Task<Result<bool>> reads_as_zeros(Lbn lbn, Zeroing how);
  Task<Result<void>> unmap_blocks(Lbn first, Lbn last, const Refusal& refusal);
  Task<Result<void>> map_zero_blocks(Lbn first, Lbn last, const Refusal& refusal);
  Task<Result<void>> remap_in_leaf(PageNumber page, Lbn first, Lbn last, BlockMapping mapping,
                                   const Refusal& refusal);
  Result<Ledger::Outcome> remap_one(MapPage& leaf, Lbn lbn, BlockMapping mapping,
                                    const Refusal& refusal);

  Executor& executor_;
  Entrance& entrance_;
  WriteAdmission& admission_;
  Ledger& ledger_;
  BlockMap& map_;
  SlabDepot& depot_;
  LbnLocks& locks_;
  WritePath& writes_;
  Maintenance& maintenance_;
  VolumeBuffers& buffers_;
  const VolumeOptions& options_;
  RequestCounters& counters_;
};

}  // namespace uvdo
