// SPDX-License-Identifier: GPL-2.0-or-later
// The saved form of the volume index: delta lists as the kernel reads and writes them
// (index.md, 8.5). It is converted list by list, from and to the in-memory form.
// What is lost on the way is deduplication and no more; what must not happen is that the kernel
// takes an entry for one of another chapter (index.md, 16.3).
#pragma once

#include <span>

#include "async/executor.h"
#include "index/device_stream.h"
#include "index/index_layout.h"
#include "index/volume_index.h"

namespace uvdo {

/// Writes `index` as one zone, and gives way between its lists; nothing may change it meanwhile.
/// Entries that the kernel would have no room for are left out, the oldest chapters first.
Task<Result<void>> save_volume_index(Executor& executor, const VolumeIndex& index, Device& device,
                                     IndexRegion zone, std::uint64_t volume_nonce);

/// Loads the zones of a save into an empty index. `newest` is what the save's header says;
/// entries of chapter `end` and later are left out. corrupt if the bytes are not sound.
Task<Result<void>> load_volume_index(Executor& executor, VolumeIndex& index, Device& device,
                                     std::span<const IndexRegion> zones, std::uint64_t volume_nonce,
                                     std::uint64_t newest, std::uint64_t end);

}  // namespace uvdo
