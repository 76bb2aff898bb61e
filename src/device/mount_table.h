// SPDX-License-Identifier: GPL-2.0-or-later
// What is mounted where, as the kernel tells it in /proc/self/mountinfo. No file system is asked.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace uvdo {

struct MountEntry {
  dev_t device = 0;    ///< of the file system
  std::string place;   ///< the folder
  std::string type;    ///< "fuse.uvdo"
  std::string source;  ///< "/dev/loop7"
  friend bool operator==(const MountEntry&, const MountEntry&) = default;
};

/// The type that FUSE mounts of volumes have.
inline constexpr std::string_view kVolumeMountType = "fuse.uvdo";

/// All that a text in the form of mountinfo has, in its order: a later one covers an earlier one on
/// the same folder. What is no line of it is left out.
[[nodiscard]] std::vector<MountEntry> parse_mounts(std::string_view mountinfo);
/// Those that this process sees now; `proc` is that of the machine, or a made-up one of a test.
[[nodiscard]] std::vector<MountEntry> mounts_now(const std::string& proc = "/proc");

}  // namespace uvdo
