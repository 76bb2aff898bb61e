// SPDX-License-Identifier: GPL-2.0-or-later
// The lock that keeps two programs from using one volume. It follows the storage and not the name:
// whoever uses a loop device locks the file beneath it too, whoever uses a partition the part of
// its disk. The locks are the kernel's own and lie on the storages themselves, so that they hold
// between users, containers and mount namespaces, and end with the process however that ends:
//  - flock(2) on what was opened, and a shared one on what lies beneath;
//  - record locks (F_OFD_SETLK) on the bytes that are meant, so that two partitions of one disk do
//    not exclude each other. An exclusive one needs a file open for writing: of what lies beneath
//    and may only be read, flock excludes all others;
//  - O_EXCL of block devices, which is the caller's part.
#pragma once

#include <string>
#include <vector>

#include "base/file_descriptor.h"
#include "base/file_lock.h"
#include "base/result.h"
#include "device/storage_map.h"

namespace uvdo {

class StorageLock {
 public:
  enum class Mode : std::uint8_t {
    shared,     ///< of readers, who may be many
    exclusive,  ///< of who writes; `fd` must be open for writing
  };

  StorageLock() = default;
  /// Locks what `fd` is, opened as `path`, and all that lies beneath it; waits for all of them no
  /// longer than `patience`. The lock is held as long as both this and `fd`. busy names the user.
  static Result<StorageLock> take(int fd, const std::string& path, Mode mode,
                                  const StorageMap& map = StorageMap(),
                                  const LockPatience& patience = LockPatience());

  /// What is locked, from top to bottom.
  [[nodiscard]] const std::vector<StorageRange>& storages() const { return storages_; }

 private:
  std::vector<StorageRange> storages_;
  std::vector<FileDescriptor> held_;  // of what lies beneath
};

/// Locks the bytes of one storage that lies beneath, or of another node of the same device, as long
/// as `held` is there. False: somebody else has them.
[[nodiscard]] bool lock_storage(const StorageRange& range, StorageLock::Mode mode,
                                const LockPatience& patience, FileDescriptor& held);

/// busy: "PATH is in use by USER; stop it first", as far as the user can be found.
[[nodiscard]] Error storage_in_use(const std::string& path, const StorageRange& storage,
                                   const StorageMap& map = StorageMap());

}  // namespace uvdo
