// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/growth_control.h"

namespace uvdo {

Task<Result<GrowthAnswer>> grow_by_request(Volume& volume, GrowthMessage request) {
  const VolumeConfig before = volume.super_block().config;
  auto done = co_await volume.grow(request.wanted());
  if (!done) co_return std::move(done).error();
  const VolumeConfig& now = volume.super_block().config;
  co_return GrowthAnswer{
      volume.size(), now.physical_blocks * kBlockSize,
      now.logical_blocks != before.logical_blocks || now.physical_blocks != before.physical_blocks};
}

}  // namespace uvdo
