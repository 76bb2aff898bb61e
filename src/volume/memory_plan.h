// SPDX-License-Identifier: GPL-2.0-or-later
// How much memory a volume takes at most; this can be told before it is opened.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/machine_memory.h"
#include "base/result.h"
#include "format/super_block.h"
#include "format/volume_geometry.h"

namespace uvdo {

/// Bytes by what they are for, when everything is in use.
struct MemoryPlan {
  std::uint64_t block_map_cache = 0;
  std::uint64_t block_map_tree = 0;  ///< interior pages of a map that is filled
  std::uint64_t reference_counts = 0;
  std::uint64_t index = 0;
  std::uint64_t buffers = 0;  ///< data in flight
  std::uint64_t pools = 0;    ///< writes under way, the packer, buffers of the volume itself
  std::uint64_t other = 0;    ///< the program, what belongs to requests, rings
  [[nodiscard]] std::uint64_t total() const {
    return block_map_cache + block_map_tree + reference_counts + index + buffers + pools + other;
  }
};

struct VolumeOptions;

/// The least that uvdo serve takes for --cache and --buffers.
inline constexpr std::uint64_t kLeastCacheBytes = 16ULL << 20U;
inline constexpr std::uint64_t kLeastBufferBytes = 4ULL << 20U;

/// The same sum for a volume that is asked about, opened or grown.
[[nodiscard]] MemoryPlan plan_memory(const VolumeOptions& options, const VolumeGeometry& geometry,
                                     const SuperBlock& super_block);

/// no_memory, with all figures, if a volume needs more than there is. `server`: bytes for what else
/// belongs to serving it. `remedy`: what to do about it, the end of the sentence, if there is any.
Result<void> check_memory(const MemoryPlan& plan, std::uint64_t server,
                          const MachineMemory& available, std::string_view remedy = {});

/// What a volume that nobody serves now takes when it is served: with the usual settings, or the
/// least ones that uvdo serve takes.
enum class PlannedSettings : std::uint8_t { usual, least };
[[nodiscard]] MemoryPlan plan_serving(PlannedSettings settings, const VolumeGeometry& geometry,
                                      const SuperBlock& super_block);

/// no_memory if this machine could not serve a volume after its growth from `before` to `grown`:
/// with the usual settings, if it can be served so today.
Result<void> check_growth_memory(const VolumeGeometry& geometry, const SuperBlock& before,
                                 const SuperBlock& grown, const MachineMemory& available);

}  // namespace uvdo
