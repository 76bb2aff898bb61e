// SPDX-License-Identifier: GPL-2.0-or-later
// Growing a volume that is stopped (behaviour.md, 12); one in use grows by itself
// (growth_in_use.h). Broken off at any point, the volume has its old size or the new one.
#pragma once

#include <cstdint>
#include <optional>

#include "async/task.h"
#include "base/machine_memory.h"
#include "device/backing_store.h"
#include "device/pbn_device.h"
#include "format/super_block.h"
#include "volume/volume_headers.h"

namespace uvdo {

/// What a volume is to become; one size, or both in one step.
struct GrowthRequest {
  std::optional<std::uint64_t> logical_bytes = {};   ///< a multiple of 4096
  std::optional<std::uint64_t> physical_bytes = {};  ///< the device's bytes that the volume takes
  bool physical_max = false;  ///< as far as the device, and the limits of volumes, go

  /// Whether the physical size may grow, and so the journal and the summary move.
  [[nodiscard]] bool may_move_metadata() const {
    return physical_max || physical_bytes.has_value();
  }
};

/// The super block that a volume has after the growth, equal to the present one if there is nothing
/// to do: it has the sizes already, or there is no room for another slab where it is to take all.
/// All that can be known to be wrong is found here, before anything is changed. invalid_argument:
/// the sizes are not possible.
Result<SuperBlock> grown_super_block(const VolumeHeaders& headers, BackingStore& store,
                                     const GrowthRequest& request);

/// Copies `count` blocks of the device from one place to another that does not overlap; it is not
/// flushed.
Task<Result<void>> copy_blocks(PbnDevice device, Pbn from, Pbn to, std::uint64_t count);

/// Grows a volume that nobody uses, and makes its file longer if need be. Gives its new super
/// block; nothing is written if that is the one that it has. invalid_argument: the sizes are not
/// possible; no_memory: it could not be served with what is `available`; read_only, busy: the
/// volume must be rebuilt, or recovered by a start, before; nothing is changed then.
Task<Result<SuperBlock>> grow_stopped_volume(BackingStore& store, const VolumeHeaders& headers,
                                             const GrowthRequest& request,
                                             const MachineMemory& available);

}  // namespace uvdo
