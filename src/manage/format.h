// SPDX-License-Identifier: GPL-2.0-or-later
// Making a new volume on a file or block device.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/machine_memory.h"
#include "format/volume_layout.h"
#include "manage/obstacle.h"

namespace uvdo {

struct FormatOptions {
  std::string path;              ///< of a file or block device
  std::uint64_t file_bytes = 0;  ///< make the file anew with this size; 0: format what is there
  FormatRequest request;         ///< all but the device's size
  bool force = false;            ///< overwrite what it holds
  bool preallocate = false;      ///< take the room for the whole file from its file system now
  /// Told where a server with the usual settings would need `needed` bytes of memory, and there are
  /// fewer; one with smaller settings has enough.
  std::function<void(std::uint64_t needed, const MachineMemory& available)> warn_of_memory =
      [](std::uint64_t, const MachineMemory&) {};
  /// Whether so large a logical size is meant, for so much room for data (both in bytes).
  std::function<bool(std::uint64_t logical, std::uint64_t room)> may_offer =
      [](std::uint64_t, std::uint64_t) { return true; };
  /// Asked last, when nobody else can change what is there; after an error nothing was changed.
  std::function<Result<void>()> last_check = [] { return Result<void>(); };
  Advise advise = no_advice;
};

struct MadeVolume {
  VolumeLayout layout;
  std::uint64_t device_bytes = 0;
  bool is_new_file = false;
  /// That the file system has less than the volume may take, if so: part of a sentence.
  std::optional<std::string> promise{};
};

/// invalid_argument: what is there cannot be preallocated. To be asked before
/// format_stopped_volume(), which does not.
Result<void> check_preallocation(const FormatOptions& options);

/// Makes the volume, which is durable then. After an error a file that was made for it is gone
/// again. exists: something is there already; no_space: the volume does not fit; no_memory: it
/// could not be served here; busy: somebody uses what is there; cancelled: may_offer() said no, and
/// nothing was changed.
Result<MadeVolume> format_stopped_volume(const FormatOptions& options);

/// Takes back a volume on a new file of which nobody could be told.
void remove_made_volume(const FormatOptions& options);

/// Bytes that data can take.
[[nodiscard]] std::uint64_t room_for_data(const SuperBlock& super_block);

}  // namespace uvdo
