// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/backing_state.h"

#include <algorithm>
#include <cerrno>
#include <sstream>

#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/first_line.h"
#include "base/saturating.h"
#include "base/size_text.h"

namespace uvdo {
namespace {

/// Of st_blocks, whatever blocks the file system has.
constexpr std::uint64_t kBytesOfStatBlock = 512;

/// What has the name now, by device and inode; of a disk, by its number, whatever node it has.
BackingState::Named look_at_name(const std::string& path, const struct stat& open) {
  struct stat there {};
  if (stat(path.c_str(), &there) != 0) {
    return errno == ENOENT || errno == ENOTDIR ? BackingState::Named::nothing
                                               : BackingState::Named::unknown;
  }
  const bool is_same = S_ISBLK(open.st_mode)
                           ? S_ISBLK(there.st_mode) && there.st_rdev == open.st_rdev
                           : there.st_dev == open.st_dev && there.st_ino == open.st_ino;
  return is_same ? BackingState::Named::itself : BackingState::Named::another;
}

}  // namespace

Result<BackingState> look_at_backing_store(int fd, const std::string& path) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return errno_error(errno, fmt::format("cannot examine {}", path));
  BackingState state;
  state.is_file = S_ISREG(status.st_mode);
  state.named = look_at_name(path, status);
  state.inode = status.st_ino;
  state.links = status.st_nlink;
  if (!state.is_file) return state;
  state.size = static_cast<std::uint64_t>(status.st_size);
  state.allocated = static_cast<std::uint64_t>(status.st_blocks) * kBytesOfStatBlock;
  struct statvfs system {};
  if (fstatvfs(fd, &system) != 0) {
    return errno_error(errno, fmt::format("cannot examine the file system of {}", path));
  }
  // What is kept for root is not for others.
  const bool is_for_us =
      geteuid() == 0 && is_first_user_namespace(first_line("/proc/self/uid_map"));
  state.free = std::uint64_t{is_for_us ? system.f_bfree : system.f_bavail} * system.f_frsize;
  state.capacity = std::uint64_t{system.f_blocks} * system.f_frsize;
  if (state.capacity == 0) state.free = UINT64_MAX;  // as of ramfs, which has no limit
  return state;
}

std::string promise_text(const BackingState& state, std::uint64_t end) {
  return fmt::format("the volume may take {} more, and its file system has {} free",
                     size_text(state.may_take(end)), size_text(state.free));
}

bool is_first_user_namespace(std::string_view uid_map) {
  std::istringstream words{std::string(uid_map)};
  std::uint64_t inside = 1;
  std::uint64_t outside = 1;
  std::uint64_t count = 0;
  // The first namespace maps all users to themselves, in one line.
  words >> inside >> outside >> count;
  return inside == 0 && outside == 0 && count == UINT32_MAX;
}

std::uint64_t room_for(const PlannedWrites& writes, const BackingState& state) {
  const std::uint64_t may_take = state.may_take(writes.end);
  // What is neither a hole nor allocated: room that was taken beforehand, or that nobody told of.
  const std::uint64_t untold = difference(may_take, writes.all_holes);
  return std::min({writes.bytes, may_take, writes.holes + untold});
}

Result<std::uint64_t> hole_bytes(int fd, std::uint64_t offset, std::uint64_t length) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return errno_error(errno, "cannot examine a file");
  if (!S_ISREG(status.st_mode)) return 0;
  const std::uint64_t end = offset + length;
  std::uint64_t holes = 0;
  while (offset < end) {
    const off_t hole = lseek(fd, static_cast<off_t>(offset), SEEK_HOLE);
    if (hole < 0 && errno != ENXIO) return 0;  // this file system does not tell
    // Behind the end of the file all is a hole.
    const std::uint64_t begin = hole < 0 ? offset : static_cast<std::uint64_t>(hole);
    if (begin >= end) break;
    const off_t data = lseek(fd, static_cast<off_t>(begin), SEEK_DATA);
    const std::uint64_t next = data < 0 ? end : std::min(end, static_cast<std::uint64_t>(data));
    holes += next - begin;
    offset = next;
  }
  return holes;
}

}  // namespace uvdo
