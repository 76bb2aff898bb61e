// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/store_lock.h"

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>

#include "base/file_lock.h"
#include "base/run_folder.h"
#include "base/store_name.h"

namespace uvdo {

Result<void> StoreLock::take(const std::string& uri, OpenMode mode) {
  if (!file_) {
    if (auto made = make_run_folder("the locks of stores behind a network"); !made) return made;
    const std::string path = file_of_store(uri);
    file_ = FileDescriptor(
        ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR));
    if (!file_) return errno_error(errno, fmt::format("cannot open {}, the lock of {}", path, uri));
  }
  auto lock = StorageLock::take(
      file_.get(), uri,
      mode == OpenMode::read_only ? StorageLock::Mode::shared : StorageLock::Mode::exclusive);
  if (!lock) return std::move(lock).error();
  lock_ = std::move(*lock);
  return {};
}

void StoreLock::give_back() {
  lock_ = StorageLock();
  unlock_file(file_.get());
}

}  // namespace uvdo
