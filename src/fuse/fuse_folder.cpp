// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/fuse_folder.h"

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include <dirent.h>
#include <sys/stat.h>

#include "async/buffer_pool.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kSector = 512;
constexpr mode_t kFolderMode = 0700;
constexpr std::uint64_t kMicroseconds = 1'000'000;

/// Who reads the file may enter the folder.
mode_t folder_mode(mode_t file_mode) {
  mode_t mode = kFolderMode;
  if ((file_mode & S_IRGRP) != 0) mode |= S_IRGRP | S_IXGRP;
  if ((file_mode & S_IROTH) != 0) mode |= S_IROTH | S_IXOTH;
  return mode;
}

}  // namespace

std::optional<fuse_attr> FuseFolder::attributes(std::uint64_t node, std::uint64_t size,
                                                std::uint64_t now_us) {
  if (node != fuse::kRootNode && node != fuse::kFileNode) return std::nullopt;
  if (std::exchange(has_changed_, false)) changed_us_ = now_us;
  const bool is_file = node == fuse::kFileNode;
  const std::uint64_t time = is_file ? changed_us_ : made_us_;
  fuse_attr attributes{};
  attributes.ino = node;
  attributes.atime = attributes.mtime = attributes.ctime = time / kMicroseconds;
  attributes.atimensec = attributes.mtimensec = attributes.ctimensec =
      static_cast<std::uint32_t>(time % kMicroseconds * 1000);
  attributes.uid = owner_.user;
  attributes.gid = owner_.group;
  attributes.blksize = BufferPool::kLargest;  // what is best read at once
  if (!is_file) {
    attributes.mode = S_IFDIR | folder_mode(mode_);
    attributes.nlink = 2;
    return attributes;
  }
  attributes.mode = S_IFREG | mode_;
  attributes.nlink = 1;
  attributes.size = size;
  // How much is really taken nobody knows without a walk through the map. Tools that copy look for
  // holes only in files that take less than their size, and some skip those that take nothing.
  const std::uint64_t sectors = size / kSector;
  attributes.blocks = sectors > 1 ? sectors - 1 : sectors;
  return attributes;
}

std::optional<std::uint64_t> FuseFolder::find(std::string_view name) const {
  if (name == name_) return fuse::kFileNode;
  return std::nullopt;
}

std::vector<std::byte> FuseFolder::entries(std::uint64_t offset, std::size_t room) const {
  struct Entry {
    std::string_view name;
    std::uint64_t node;
    std::uint32_t type;
  };
  const std::array<Entry, 3> all{Entry{".", fuse::kRootNode, DT_DIR},
                                 Entry{"..", fuse::kRootNode, DT_DIR},
                                 Entry{name_, fuse::kFileNode, DT_REG}};
  std::vector<std::byte> bytes;
  for (std::uint64_t i = offset; i < all.size(); ++i) {
    const Entry& entry = all[i];
    const std::size_t length = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + entry.name.size());
    if (bytes.size() + length > room) break;
    const std::uint64_t next = i + 1;
    const auto name_length = static_cast<std::uint32_t>(entry.name.size());
    const std::size_t at = bytes.size();
    bytes.resize(at + length);  // zeros, behind the name too
    std::byte* const to = bytes.data() + at;
    std::memcpy(to + offsetof(fuse_dirent, ino), &entry.node, sizeof entry.node);
    std::memcpy(to + offsetof(fuse_dirent, off), &next, sizeof next);
    std::memcpy(to + offsetof(fuse_dirent, namelen), &name_length, sizeof name_length);
    std::memcpy(to + offsetof(fuse_dirent, type), &entry.type, sizeof entry.type);
    std::memcpy(to + FUSE_NAME_OFFSET, entry.name.data(), entry.name.size());
  }
  return bytes;
}

int check_file_name(std::string_view name) {
  if (name.size() > NAME_MAX) return ENAMETOOLONG;
  const bool is_usable = !name.empty() && name != "." && name != ".." &&
                         name.find('/') == std::string_view::npos &&
                         name.find('\0') == std::string_view::npos;
  return is_usable ? 0 : EINVAL;
}

}  // namespace uvdo
