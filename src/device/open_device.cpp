// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/open_device.h"

#include <cerrno>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_checks.h"
#include "base/file_lock.h"
#include "base/store_name.h"
#include "device/blocking_file.h"
#include "device/file_device.h"
#include "device/nbd_store.h"
#include "device/rbd_store.h"
#include "device/store_lock.h"

namespace uvdo {
namespace {

/// The two kinds of file as what they have in common.
template <class Store>
Result<std::unique_ptr<BackingStore>> as_store(Result<std::unique_ptr<Store>> opened) {
  if (!opened) return std::move(opened).error();
  return std::unique_ptr<BackingStore>(std::move(*opened));
}

Error no_such_kind(const std::string& name) {
  return {Errc::unsupported, fmt::format("{} is no name of a store", name)};
}

}  // namespace

Result<void> check_is_free(const std::string& name, OpenMode mode) {
  const LockPatience none(std::chrono::seconds(0));
  switch (kind_of_store(name)) {
    case StoreKind::path: break;
    case StoreKind::nbd: return StoreLock().take(name, mode, none);
    case StoreKind::rbd: return RbdStore::check_is_free(name, mode);
  }
  auto opened = open_backing_store(name, mode, none);
  if (!opened) return std::move(opened).error();
  return {};
}

bool is_locked(const std::string& name, OpenMode mode) {
  // As open_device() does: a claim of a block device, and the first lock of whatever it is. (By NFS
  // an exclusive one is only for who may write.)
  const std::string path = file_of_store(name);
  const bool is_shared = mode == OpenMode::read_only;
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return false;
  int flags = (is_shared ? O_RDONLY : O_RDWR) | O_CLOEXEC;
  if (S_ISBLK(status.st_mode) && !is_shared) flags |= O_EXCL;
  auto file = open_checked(path, flags, FileKind::store);
  if (!file) return file.error().code() == Errc::busy;
  return !lock_file(file->get(), is_shared, LockPatience(std::chrono::seconds(0)));
}

Result<std::unique_ptr<BackingStore>> open_device(UringLoop& loop, const std::string& name,
                                                  OpenMode mode) {
  switch (kind_of_store(name)) {
    case StoreKind::path: return as_store(FileDevice::open(loop, name, mode));
    case StoreKind::nbd: return as_store(NbdStore::open(&loop, name, mode));
    case StoreKind::rbd: return as_store(RbdStore::open(&loop, name, mode));
  }
  return no_such_kind(name);
}

Result<std::unique_ptr<BackingStore>> make_device(UringLoop& loop, const std::string& name) {
  auto file = make_backing_file(name);
  if (!file) return std::move(file).error();
  return as_store(FileDevice::adopt(loop, std::move(*file), name, OpenMode::read_write));
}

Result<std::unique_ptr<BackingStore>> open_blocking_device(const std::string& name, OpenMode mode) {
  switch (kind_of_store(name)) {
    case StoreKind::path: return as_store(BlockingFile::open(name, mode));
    case StoreKind::nbd: return as_store(NbdStore::open(nullptr, name, mode));
    case StoreKind::rbd: return as_store(RbdStore::open(nullptr, name, mode));
  }
  return no_such_kind(name);
}

Result<std::unique_ptr<BackingStore>> make_blocking_device(const std::string& name) {
  auto file = make_backing_file(name);
  if (!file) return std::move(file).error();
  return as_store(BlockingFile::adopt(std::move(*file), name, OpenMode::read_write));
}

Result<void> take_over_device(const std::string& name) {
  switch (kind_of_store(name)) {
    case StoreKind::rbd: return RbdStore::take_over(name);
    case StoreKind::path:
    case StoreKind::nbd: break;
  }
  return Error(Errc::unsupported,
               fmt::format("{} cannot be taken over: only images of Ceph (rbd:POOL/IMAGE) can shut "
                           "their old server out; stop it instead",
                           name));
}

Result<std::size_t> peek(const std::string& name, MutableBytes out) {
  switch (kind_of_store(name)) {
    case StoreKind::path: break;
    case StoreKind::nbd: return NbdStore::peek(name, out);
    case StoreKind::rbd: return RbdStore::peek(name, out);
  }
  auto file = open_checked(name, O_RDONLY | O_CLOEXEC, FileKind::store);
  if (!file) return std::move(file).error();
  const ssize_t got = pread(file->get(), out.data(), out.size(), 0);
  if (got < 0) return errno_error(errno, fmt::format("reading {}", name));
  return static_cast<std::size_t>(got);
}

Result<NameOf> look_up_name(const std::string& name) {
  // What is behind a network was made there, and is looked at by opening it.
  if (!is_path(name)) return NameOf::other;
  struct stat status {};
  if (stat(name.c_str(), &status) == 0) {
    return S_ISREG(status.st_mode) ? NameOf::file : NameOf::other;
  }
  if (errno == ENOENT) return NameOf::nothing;
  return errno_error(errno, fmt::format("cannot examine {}", name));
}

}  // namespace uvdo
