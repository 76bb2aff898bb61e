// SPDX-License-Identifier: GPL-2.0-or-later
// File descriptors kept back for those who must get in when all others are used up: whoever wants
// to see why, or to stop the server. And how many there are for clients.
#pragma once

#include <cstdint>
#include <vector>

#include "base/file_descriptor.h"

namespace uvdo {

/// What is kept are descriptors of /dev/null: closing one makes its number free for whoever opens
/// something next. Nothing says that this is who asked for it; refill() shows it when it is called.
class DescriptorReserve {
 public:
  static constexpr std::size_t kUsual = 8;

  /// Takes `count` descriptors, or as many as there are.
  explicit DescriptorReserve(std::size_t count = kUsual);
  DescriptorReserve(const DescriptorReserve&) = delete;
  DescriptorReserve& operator=(const DescriptorReserve&) = delete;

  /// Gives one up, so that the next to be opened has it. False if none is left.
  bool lend();
  /// Takes back what was lent, as far as descriptors are free; whether none is missing.
  bool refill();

 private:
  std::vector<FileDescriptor> kept_;
  std::size_t wanted_;
};

/// Raises this process's limit of open files as far as it may. Returns the limit.
std::uint64_t raise_descriptor_limit();

/// Descriptors that a server needs beside those of its NBD clients.
inline constexpr std::uint64_t kOwnDescriptors = 48;

}  // namespace uvdo
