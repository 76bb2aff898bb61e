// SPDX-License-Identifier: GPL-2.0-or-later
// What becomes of a backing store beneath its user: whether its path still names it, and how much
// room its file system has for it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace uvdo {

struct BackingState {
  /// What its path names now.
  enum class Named : std::uint8_t {
    itself,
    nothing,
    another,
    unknown,  ///< it may not be looked at
  };
  bool is_file = false;  ///< else it is a block device, and what follows but `named` means nothing
  Named named = Named::itself;
  std::uint64_t inode = 0;
  std::uint64_t links = 0;      ///< names that it has; 0: it goes away when nobody has it open
  std::uint64_t size = 0;       ///< bytes
  std::uint64_t allocated = 0;  ///< bytes that its file system keeps for it
  /// Bytes that its file system has for more; UINT64_MAX where that does not tell.
  std::uint64_t free = 0;
  std::uint64_t capacity = 0;  ///< bytes of the file system
  /// How long a store behind a network has answered nothing, though something was asked of it.
  std::chrono::seconds silent_for{0};
  std::string trouble;  ///< why, as far as is known
  /// What a cluster says of storage of its own that is full or nearly; empty: nothing.
  std::string fullness;

  /// Whether that is longer than a store takes that is well.
  [[nodiscard]] bool is_silent() const { return silent_for >= std::chrono::seconds(5); }

  [[nodiscard]] bool is_removed() const { return is_file && links == 0; }
  /// Bytes that it may still take if it is filled up to `end`; 0 for a device.
  [[nodiscard]] std::uint64_t may_take(std::uint64_t end) const {
    return !is_file || end <= allocated ? 0 : end - allocated;
  }
  /// Whether the file system has less than that.
  [[nodiscard]] bool is_promised_more_than_there_is(std::uint64_t end) const {
    return is_file && may_take(end) > free;
  }
};

/// Looks at what `fd` has open, and what is at `path`.
Result<BackingState> look_at_backing_store(int fd, const std::string& path);

/// "the volume may take 3.8 GB more, and its file system has 101 MB free".
[[nodiscard]] std::string promise_text(const BackingState& state, std::uint64_t end);

/// Bytes of [offset, offset + length) that the file system calls a hole; 0 for a device, and where
/// it does not tell.
Result<std::uint64_t> hole_bytes(int fd, std::uint64_t offset, std::uint64_t length);

/// Bytes that are going to be written to a file.
struct PlannedWrites {
  std::uint64_t bytes = 0;      ///< all
  std::uint64_t holes = 0;      ///< of these, in holes
  std::uint64_t all_holes = 0;  ///< of the whole file, up to `end`
  std::uint64_t end = 0;        ///< where the file ends when it is full
};

/// Bytes that they may take of the file system, at most. Where a file has holes and how much room
/// it has are two answers, and neither is all of the truth: what was preallocated is a hole that
/// has its room; and who cannot tell where the holes are calls all of them data.
[[nodiscard]] std::uint64_t room_for(const PlannedWrites& writes, const BackingState& state);

/// Whether the user namespace of a process is the first one, so that its root may use what a file
/// system keeps for root; `uid_map`: as /proc/self/uid_map says.
[[nodiscard]] bool is_first_user_namespace(std::string_view uid_map);

}  // namespace uvdo
