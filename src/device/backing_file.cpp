// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/backing_file.h"

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_checks.h"
#include "base/file_lock.h"

namespace uvdo {

Result<BackingFile> open_backing_store(const std::string& path, OpenMode mode,
                                       const LockPatience& patience) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) {
    return errno_error(errno, fmt::format("cannot open {}", path));
  }
  const bool block_device = S_ISBLK(status.st_mode);
  int flags = mode == OpenMode::read_only ? O_RDONLY : O_RDWR;
  // Keeps mounts and other claims of the kernel away, which look at no locks.
  if (block_device && mode == OpenMode::read_write) flags |= O_EXCL;
  Result<FileDescriptor> opened = FileDescriptor();
  // What a killed server had under way holds its claim for a moment longer.
  const bool free = patience.take([&] {
    opened = open_checked(path, flags, FileKind::store);
    return opened || opened.error().code() != Errc::busy;
  });
  if (!free) {
    StorageRange whole;
    whole.id = StorageId::of(status).value_or(StorageId());
    return storage_in_use(path, whole);
  }
  if (!opened) return std::move(opened).error();
  BackingFile file;
  file.fd = std::move(*opened);
  int is_protected = 0;
  // Such a device may be opened for writing; its first write would fail.
  if (block_device && mode == OpenMode::read_write &&
      ioctl(file.fd.get(), BLKROGET, &is_protected) == 0 && is_protected != 0) {
    return Error(Errc::read_only, fmt::format("{} is a device that may only be read", path));
  }
  // A shared lock for readers, so that several may look at a stopped volume at once.
  auto lock = StorageLock::take(
      file.fd.get(), path,
      mode == OpenMode::read_only ? StorageLock::Mode::shared : StorageLock::Mode::exclusive,
      StorageMap(), patience);
  if (!lock) return std::move(lock).error();
  file.lock = std::move(*lock);
  return file;
}

Result<BackingFile> make_backing_file(const std::string& path) {
  BackingFile file;
  file.fd =
      FileDescriptor(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (!file.fd) return errno_error(errno, fmt::format("cannot create {}", path));
  auto lock = StorageLock::take(file.fd.get(), path, StorageLock::Mode::exclusive);
  if (!lock) {
    unlink(path.c_str());
    return std::move(lock).error();
  }
  file.lock = std::move(*lock);
  return file;
}

Result<std::uint64_t> size_of_backing_store(int fd, const std::string& path) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return errno_error(errno, fmt::format("cannot examine {}", path));
  if (S_ISREG(status.st_mode)) return static_cast<std::uint64_t>(status.st_size);
  std::uint64_t size = 0;
  if (ioctl(fd, BLKGETSIZE64, &size) != 0) {
    return errno_error(errno, fmt::format("cannot find the size of {}", path));
  }
  return size;
}

}  // namespace uvdo
