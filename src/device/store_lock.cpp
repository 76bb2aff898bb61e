// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/store_lock.h"

#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_lock.h"
#include "base/run_folder.h"
#include "base/store_name.h"

namespace uvdo {

namespace {

/// Whether it is still what others find there: who tidies up folders may have removed it.
bool is_at(const FileDescriptor& file, const std::string& path) {
  struct stat mine {};
  struct stat there {};
  return fstat(file.get(), &mine) == 0 && stat(path.c_str(), &there) == 0 &&
         mine.st_dev == there.st_dev && mine.st_ino == there.st_ino;
}

}  // namespace

Result<void> StoreLock::take(const std::string& uri, OpenMode mode, const LockPatience& patience) {
  const std::string path = file_of_store(uri);
  constexpr int kMostTries = 10;
  for (int tries = 0; tries < kMostTries; ++tries) {
    if (auto taken = take_file(path, uri, mode, patience); !taken) return taken;
    if (is_at(file_, path)) return {};
    lock_ = StorageLock();
    file_ = FileDescriptor();
  }
  return Error(Errc::busy,
               fmt::format("{}, the lock of {}, is removed again and again", path, uri));
}

Result<void> StoreLock::take_file(const std::string& path, const std::string& uri, OpenMode mode,
                                  const LockPatience& patience) {
  if (!file_) {
    if (auto made = make_lock_folder(); !made) return made;
    file_ = FileDescriptor(
        ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR));
    if (!file_) return errno_error(errno, fmt::format("cannot open {}, the lock of {}", path, uri));
  }
  auto lock = StorageLock::take(
      file_.get(), uri,
      mode == OpenMode::read_only ? StorageLock::Mode::shared : StorageLock::Mode::exclusive,
      StorageMap(), patience);
  if (!lock) return std::move(lock).error();
  lock_ = std::move(*lock);
  return {};
}

std::string StoreLock::note() const {
  std::array<char, 256> text{};
  const ssize_t got = pread(file_.get(), text.data(), text.size(), 0);
  if (got <= 0) return {};
  const std::string_view line(text.data(), static_cast<std::size_t>(got));
  return std::string(line.substr(0, line.find('\n')));
}

Result<void> StoreLock::leave_note(const std::string& text) {
  const std::string line = text + "\n";
  const bool is_left =
      ftruncate(file_.get(), 0) == 0 &&
      pwrite(file_.get(), line.data(), line.size(), 0) == static_cast<ssize_t>(line.size());
  if (is_left) return {};
  return errno_error(errno, "leaving a note in the lock of a store");
}

void StoreLock::give_back() {
  lock_ = StorageLock();
  unlock_file(file_.get());
}

}  // namespace uvdo
