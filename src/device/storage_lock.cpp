// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/storage_lock.h"

#include <cerrno>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>

#include "base/file_lock.h"
#include "base/printable.h"
#include "device/storage_user.h"

namespace uvdo {
namespace {

/// Of what only lies around the volume nobody is kept away.
bool is_exclusive(const StorageRange& range, StorageLock::Mode mode) {
  return mode == StorageLock::Mode::exclusive && range.share == StorageRange::Share::exact;
}

/// Opens a storage by the name that the kernel told; nothing if that is another one by now, or is
/// not for this user.
FileDescriptor open_storage(const StorageRange& range, bool for_writing) {
  if (range.path.empty()) return {};
  const int flags = (for_writing ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  FileDescriptor fd(open(range.path.c_str(), flags));
  struct stat status {};
  if (!fd || fstat(fd.get(), &status) != 0 || StorageId::of(status) != range.id) return {};
  return fd;
}

/// Whether two descriptors lead to one file or node.
bool is_same_inode(int a, int b) {
  struct stat first {};
  struct stat second {};
  return fstat(a, &first) == 0 && fstat(b, &second) == 0 && first.st_dev == second.st_dev &&
         first.st_ino == second.st_ino;
}

/// Of a file: whether a loop device over it is mounted, or kept by another device.
Result<void> check_loops_over(const std::string& path, const StorageId& id, const StorageMap& map,
                              const LockPatience& patience) {
  if (id.kind != StorageId::Kind::file) return {};
  for (const std::string& node : map.loops_over(id)) {
    const bool is_free = patience.take([&] {
      const FileDescriptor probe(open(node.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC));
      return probe || errno != EBUSY;
    });
    struct stat status {};
    if (is_free || stat(node.c_str(), &status) != 0) continue;
    StorageRange loop;
    loop.id = {StorageId::Kind::block, status.st_rdev, 0};
    loop.path = node;
    return storage_in_use(path, loop, map);
  }
  return {};
}

}  // namespace

Error storage_in_use(const std::string& path, const StorageRange& storage, const StorageMap& map) {
  const std::string user = user_of(storage.id, map);
  std::string who = "another program (is the volume being served?)";
  if (user.starts_with("process")) who = user;
  std::string text = fmt::format("{} is in use by {}", path, who);
  if (!user.empty() && who != user) text = fmt::format("{} is in use: it is {}", path, user);
  if (!storage.path.empty() && storage.path != path) {
    text += fmt::format(", by way of {}", storage.path);
  }
  return {Errc::busy, text + "; stop that first"};
}

bool lock_storage(const StorageRange& range, StorageLock::Mode mode, const LockPatience& patience,
                  FileDescriptor& held) {
  const bool exclusive = is_exclusive(range, mode);
  held = open_storage(range, exclusive);
  const bool may_write = static_cast<bool>(held);
  if (!held && exclusive) held = open_storage(range, false);  // on read-only media, or of others
  if (!held) {
    return range.share == StorageRange::Share::within ||
           patience.take([&] { return !is_locked_by_others(range); });
  }
  // Without the right to write no bytes can be locked for one alone: then all of it is.
  const bool lock_all = exclusive && !may_write;
  return lock_file(held.get(), !lock_all, patience) &&
         lock_range(held.get(), range.start, range.length, !exclusive || lock_all, patience);
}

Result<StorageLock> StorageLock::take(int fd, const std::string& path, Mode mode,
                                      const StorageMap& map, const LockPatience& patience) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return errno_error(errno, fmt::format("cannot examine {}", path));
  const auto id = StorageId::of(status);
  if (!id) {
    return Error(Errc::invalid_argument,
                 fmt::format("{} is neither a regular file nor a block device", path));
  }
  StorageLock lock;
  lock.storages_ = map.beneath(*id, path);
  const bool shared = mode == Mode::shared;
  if (!lock_file(fd, shared, patience) ||
      !lock_range(fd, 0, StorageRange::kToTheEnd, shared, patience)) {
    return storage_in_use(path, lock.storages_.front(), map);
  }
  // Locks of a block device lie on its node, of which there may be others: the kernel's own counts.
  if (id->kind == StorageId::Kind::block) {
    StorageRange node = lock.storages_.front();
    node.path = map.node_of(id->device);
    const FileDescriptor probe = open_storage(node, false);
    if (probe && !is_same_inode(probe.get(), fd)) {
      FileDescriptor held;
      if (!lock_storage(node, mode, patience, held)) return storage_in_use(path, node, map);
      if (held) lock.held_.push_back(std::move(held));
    }
  }
  // From top to bottom; the first is the file itself, whose lock is taken.
  for (std::size_t i = 1; i < lock.storages_.size(); ++i) {
    FileDescriptor held;
    if (!lock_storage(lock.storages_[i], mode, patience, held)) {
      return storage_in_use(path, lock.storages_[i], map);
    }
    if (held) lock.held_.push_back(std::move(held));
  }
  if (auto free = check_loops_over(path, *id, map, patience); !free) return std::move(free).error();
  return lock;
}

}  // namespace uvdo
