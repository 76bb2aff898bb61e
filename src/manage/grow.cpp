// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/grow.h"

#include <charconv>
#include <chrono>
#include <thread>

#include "async/uring_loop.h"
#include "base/first_line.h"
#include "base/machine_memory.h"
#include "control/server_messages.h"
#include "manage/format.h"
#include "manage/open_stopped.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kSectorSize = 512;  // of figures in /sys

/// may_offer() said no.
Error not_meant() { return {Errc::cancelled, "nothing was changed"}; }

/// The room for data that a volume in use will have about; 0 if its server does not say.
std::uint64_t room_after(const GrowOptions& options) {
  auto info = options.volume.ask(InfoRequest());
  if (!info) return 0;
  std::uint64_t then = info->physical_blocks;
  // The server computes the sizes; a question needs them only about.
  if (options.wanted.physical_bytes) then = *options.wanted.physical_bytes / kBlockSize;
  if (options.wanted.physical_max) then = info->device_bytes / kBlockSize;
  const std::uint64_t more = then > info->physical_blocks ? then - info->physical_blocks : 0;
  return (info->room_for_data() + more) * kBlockSize;
}

/// not_found: nobody serves the volume.
Result<GrowthAnswer> grow_served(const GrowOptions& options) {
  // What no volume can have the server refuses, and nobody needs to be asked.
  const auto& logical = options.wanted.logical_bytes;
  const bool is_possible = logical && *logical <= kMaxLogicalBlocks * kBlockSize;
  const bool asks = is_possible && options.may_offer;
  if (asks && !options.may_offer(*logical, room_after(options))) return not_meant();
  auto answer = options.volume.ask(GrowthMessage(options.wanted));
  if (answer || answer.error().code() == Errc::not_found) return answer;
  return std::move(answer).error().within(options.volume.volume);
}

Task<void> grow_stopped(UringLoop& loop, const GrowOptions& options, Result<GrowthAnswer>& done) {
  auto opened = co_await open_stopped(loop, options.volume.volume, OpenMode::read_write);
  if (!opened) {
    done = std::move(opened).error();
    co_return;
  }
  auto& [device, headers] = *opened;
  const SuperBlock& before = headers.super_block;
  // What is not possible is refused below, in the growth's own words, and nobody is asked about it.
  if (auto sizes = grown_super_block(headers, *device, options.wanted); sizes) {
    const bool asks =
        options.may_offer && sizes->config.logical_blocks > before.config.logical_blocks;
    if (asks && !options.may_offer(*options.wanted.logical_bytes, room_for_data(*sizes))) {
      done = not_meant();
      co_return;
    }
  }
  auto grown = co_await grow_stopped_volume(*device, headers, options.wanted, available_memory());
  if (!grown) {
    done = std::move(grown).error().within(options.volume.volume);
    co_return;
  }
  // The same answer as a server's, so that who asked need not know who has done it.
  done = GrowthAnswer{grown->config.logical_blocks * kBlockSize,
                      grown->config.physical_blocks * kBlockSize, *grown != before};
}

/// As the kernel has it, bytes; none: it is gone.
std::optional<std::uint64_t> size_of_disk(const std::string& path) {
  const std::string name = path.substr(path.rfind('/') + 1);
  const std::string sectors = first_line("/sys/block/" + name + "/size");
  std::uint64_t count = 0;
  const auto [end, error] = std::from_chars(sectors.data(), sectors.data() + sectors.size(), count);
  if (error != std::errc()) return std::nullopt;
  return count * kSectorSize;
}

bool is_smaller_than(const AttachedDevice& device, std::uint64_t logical) {
  if (device.kind != DeviceKind::ublk || device.size || device.offset > logical) return false;
  const auto size = size_of_disk(device.path);
  return size && *size < logical - device.offset;
}

}  // namespace

Result<GrowthAnswer> grow_volume(const GrowOptions& options) {
  // Asking first: a volume whose server has it could not be opened here.
  auto served = grow_served(options);
  if (served || served.error().code() != Errc::not_found) return served;
  auto loop = UringLoop::create();
  if (!loop) return std::move(loop).error();
  Result<GrowthAnswer> done = GrowthAnswer();
  (*loop)->run(grow_stopped(**loop, options, done));
  return done;
}

std::vector<std::string> devices_that_keep_their_size(const ServedVolume& volume,
                                                      std::uint64_t logical) {
  constexpr int kTries = 20;
  constexpr auto kPause = std::chrono::milliseconds(50);
  const auto told = volume.ask(DevicesRequest());
  if (!told) return {};  // nobody serves it
  std::vector<std::string> paths;
  for (const AttachedDevice& device : told->devices) {
    for (int i = 0; i < kTries && is_smaller_than(device, logical); ++i) {
      std::this_thread::sleep_for(kPause);
    }
    if (is_smaller_than(device, logical)) paths.push_back(device.path);
  }
  return paths;
}

}  // namespace uvdo
