// SPDX-License-Identifier: GPL-2.0-or-later
// How much memory this machine can still give this process.
#pragma once

#include <cstdint>
#include <string>

namespace uvdo {

struct MachineMemory {
  std::uint64_t bytes = 0;  ///< that can be had without taking them from others
  std::string limit;        ///< what sets the limit, as a part of a sentence
};

/// What is free or in caches, within the limits of the process (RLIMIT_AS) and of its control
/// group. `root` stands before the paths of /proc and /sys, for tests.
[[nodiscard]] MachineMemory available_memory(const std::string& root = {});

/// The same with what the process has already: all that it can ever have.
[[nodiscard]] MachineMemory memory_within_reach(const std::string& root = {});

}  // namespace uvdo
