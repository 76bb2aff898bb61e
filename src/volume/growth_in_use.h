// SPDX-License-Identifier: GPL-2.0-or-later
// Growth of a volume in use (behaviour.md, 12). Nobody is stopped for it: writers only wait if the
// journal's memory is full before its ring has been copied.
//
// What holds here: until the super block with the new sizes is stable the old volume is whole, and
// whatever fails leaves it as it was; the memory that the larger one needs is there before anything
// is changed; all parts learn of the new sizes in one place, Ledger::tell_of_growth().
#pragma once

#include "base/page_memory.h"
#include "volume/growth.h"
#include "volume/suspension.h"

namespace uvdo {

class Growth {
 public:
  Growth(BackingStore& store, DeviceGates& gates, const VolumeGeometry& geometry,
         const VolumeLife& life, ReadOnlyNotifier& notifier, Entrance& entrance,
         WriteAdmission& admission, Administration& administration, const Suspension& suspension,
         Ledger& ledger, SuperBlockStore& super_blocks, const VolumeOptions& options,
         LogFunction log)
      : store_(store),
        gates_(gates),
        geometry_(geometry),
        life_(life),
        notifier_(notifier),
        entrance_(entrance),
        admission_(admission),
        administration_(administration),
        suspension_(suspension),
        ledger_(ledger),
        super_blocks_(super_blocks),
        options_(options),
        log_(std::move(log)) {}

  /// See Volume::grow().
  Task<Result<void>> grow(GrowthRequest request);

 private:
  /// What the larger volume takes besides what it has: for the tables of its slabs, and the rest.
  struct Memory {
    PageMemory slabs;
    PageMemory rest;
  };
  [[nodiscard]] Result<void> check_may_grow(const GrowthRequest& request) const;
  Task<Result<void>> grow_in_turn(PatientRequest& patient, GrowthRequest request);
  Task<Result<void>> grow_alone(const GrowthRequest& request, const Refusal& refusal);
  /// no_memory: it cannot be had.
  [[nodiscard]] Result<Memory> take_memory(const SuperBlock& grown) const;
  Task<Result<void>> move_metadata(const SuperBlock& grown, PageMemory slabs,
                                   const Refusal& refusal);
  /// Writes `changed`, unless the volume has become read-only. A failure makes it read-only.
  Task<Result<void>> change_super_block(SuperBlock changed);
  void tell(const VolumeConfig& before) const;

  BackingStore& store_;
  DeviceGates& gates_;
  const VolumeGeometry& geometry_;
  const VolumeLife& life_;
  ReadOnlyNotifier& notifier_;
  Entrance& entrance_;
  WriteAdmission& admission_;
  Administration& administration_;
  const Suspension& suspension_;
  Ledger& ledger_;
  SuperBlockStore& super_blocks_;
  const VolumeOptions& options_;
  LogFunction log_;
};

}  // namespace uvdo
