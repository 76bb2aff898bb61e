// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/grow.h"

#include "async/uring_loop.h"
#include "base/machine_memory.h"
#include "control/server_messages.h"
#include "device/open_device.h"

namespace uvdo {
namespace {

Error not_meant() { return {Errc::cancelled, "nothing was changed"}; }

/// The room for data that a volume in use will have about; 0 if its server does not say.
std::uint64_t room_after(const GrowOptions& options) {
  auto info = options.volume.ask(InfoRequest());
  if (!info || !info->contains("slabs")) return 0;
  const Json& slabs = (*info)["slabs"];
  const std::uint64_t room =
      slabs.value("count", std::uint64_t{0}) * slabs.value("dataBlocks", std::uint64_t{0});
  const std::uint64_t now = info->value("physicalBlocks", std::uint64_t{0});
  std::uint64_t then = now;
  if (options.wanted.physical_bytes) then = *options.wanted.physical_bytes / kBlockSize;
  if (options.wanted.physical_max) {
    then = info->value("deviceBytes", std::uint64_t{0}) / kBlockSize;
  }
  return (room + (then > now ? then - now : 0)) * kBlockSize;
}

/// not_found: nobody serves the volume.
Result<GrowthAnswer> grow_served(const GrowOptions& options) {
  // What no volume can have the server refuses, and nobody needs to be asked.
  const auto& logical = options.wanted.logical_bytes;
  const bool is_possible = logical && *logical <= kMaxLogicalBlocks * kBlockSize;
  if (is_possible && !options.may_offer(*logical, room_after(options))) return not_meant();
  auto answer = options.volume.ask(GrowthMessage(options.wanted));
  if (answer || answer.error().code() == Errc::not_found) return answer;
  return std::move(answer).error().within(options.volume.volume);
}

Task<void> grow_stopped(UringLoop& loop, const GrowOptions& options, Result<GrowthAnswer>& done) {
  auto device = open_device(loop, options.volume.volume, OpenMode::read_write);
  if (!device) {
    done = std::move(device).error();
    co_return;
  }
  auto headers = co_await read_volume_headers(**device);
  if (!headers) {
    done = std::move(headers).error();
    co_return;
  }
  const SuperBlock& before = headers->super_block;
  if (auto sizes = grown_super_block(*headers, **device, options.wanted); sizes) {
    const SlabDepotState& depot = sizes->depot;
    const std::uint64_t room = depot.slab_count() * depot.slab.data_blocks * kBlockSize;
    const bool grows = sizes->config.logical_blocks > before.config.logical_blocks;
    if (grows && !options.may_offer(*options.wanted.logical_bytes, room)) {
      done = not_meant();
      co_return;
    }
  }
  auto grown = co_await grow_stopped_volume(**device, *headers, options.wanted, available_memory());
  if (!grown) {
    done = std::move(grown).error().within(options.volume.volume);
    co_return;
  }
  done = GrowthAnswer{grown->config.logical_blocks * kBlockSize,
                      grown->config.physical_blocks * kBlockSize, *grown != before};
}

}  // namespace

Result<GrowthAnswer> grow_volume(const GrowOptions& options) {
  auto served = grow_served(options);
  if (served || served.error().code() != Errc::not_found) return served;
  auto loop = UringLoop::create();
  if (!loop) return std::move(loop).error();
  Result<GrowthAnswer> done = GrowthAnswer();
  (*loop)->run(grow_stopped(**loop, options, done));
  return done;
}

}  // namespace uvdo
