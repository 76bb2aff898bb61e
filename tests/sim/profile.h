// SPDX-License-Identifier: GPL-2.0-or-later
// What a simulated history is made of: how many clients do what, where, with which data, on which
// disk, and what goes wrong meanwhile.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "content.h"
#include "device/sim_device.h"
#include "subject.h"

namespace uvdo::sim {

/// How often each operation comes, as parts of a whole.
struct OperationMix {
  std::uint32_t write = 40;
  std::uint32_t fua_write = 5;
  std::uint32_t read = 30;
  std::uint32_t discard = 6;
  std::uint32_t write_zeroes = 4;
  std::uint32_t flush = 6;
  std::uint32_t extents = 3;
};

/// Which deduplication index a volume has.
enum class IndexKind : std::uint8_t {
  forgetful,  ///< one in memory that answers at once
  uds,        ///< the real one, on the simulated disk
};

/// Values are the usual case, so that the table of profiles names only what is special.
struct Profile {
  std::string_view name;
  std::string_view what;       ///< for people
  std::uint64_t blocks = 512;  ///< the part of the logical device that is used, from its start
  std::uint32_t clients = 6;
  std::uint32_t operations = 150;  ///< of all clients together, between two starts
  std::uint32_t cycles = 4;        ///< starts
  OperationMix mix{};
  ContentMix content{};
  std::uint32_t longest = 16;          ///< blocks of one request, at most
  std::uint32_t partial_percent = 15;  ///< requests that begin or end inside a block
  std::uint32_t hot_percent = 40;      ///< requests that go to one of `hot_blocks`
  std::uint32_t hot_blocks = 12;
  std::uint32_t crash_percent = 70;  ///< cycles that end with a power cut
  /// If set, each power cut comes right behind a write of this structure, after fewer than
  /// `near_skip` of its writes; otherwise half of them behind some write of any.
  std::optional<Critical> near{};
  std::uint64_t near_skip = 1;
  /// Those in which the process dies, and the machine and its memory live on.
  std::uint32_t death_percent = 0;
  std::uint32_t fault_percent = 0;   ///< cycles with failing requests
  std::uint32_t full_percent = 0;    ///< cycles in which the disk has no room for a while
  std::uint32_t change_percent = 0;  ///< cycles in which the service is grown and suspended
  std::uint32_t pause_percent = 20;  ///< operations after which a client waits a while
  /// If set, the clients never pause, and so often one more sends requests that have to end within
  /// a bounded number of steps all the same; so has a stop.
  std::uint32_t probes = 0;
  IndexKind index = IndexKind::forgetful;
  std::uint32_t examine_percent = 0;  ///< cycles at whose end the service is looked at closely
  SimDeviceOptions device{};
};

/// The profiles that the simulation program knows, the default first.
[[nodiscard]] std::span<const Profile> profiles();
/// The profile of that name, or nullptr.
[[nodiscard]] const Profile* find_profile(std::string_view name);

}  // namespace uvdo::sim
