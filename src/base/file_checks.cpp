// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/file_checks.h"

#include <cerrno>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/size_text.h"

namespace uvdo {
namespace {

Result<void> check_mode(mode_t mode, const std::string& path, FileKind kind) {
  if (S_ISREG(mode)) return {};
  switch (kind) {
    case FileKind::regular:
      return Error(Errc::invalid_argument, fmt::format("{} is not a regular file", path));
    case FileKind::store:
      if (S_ISBLK(mode)) return {};
      return Error(Errc::invalid_argument,
                   fmt::format("{} is neither a regular file nor a block device", path));
  }
  return {};
}

Error cannot_open(const std::string& path) {
  return errno_error(errno, fmt::format("cannot open {}", path));
}

}  // namespace

Result<void> check_file_kind(const std::string& path, FileKind kind) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return cannot_open(path);
  return check_mode(status.st_mode, path, kind);
}

Result<void> check_file_kind(int fd, const std::string& path, FileKind kind) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return cannot_open(path);
  return check_mode(status.st_mode, path, kind);
}

Result<FileDescriptor> open_checked(const std::string& path, int flags, FileKind kind,
                                    mode_t mode) {
  struct stat status {};
  const bool is_made = (flags & O_CREAT) != 0 && stat(path.c_str(), &status) != 0;
  if (!is_made) {
    if (auto checked = check_file_kind(path, kind); !checked) return std::move(checked).error();
  }
  FileDescriptor fd(open_without_waiting(path, flags, mode));
  if (!fd) return cannot_open(path);
  // It may be another one by now.
  if (auto checked = check_file_kind(fd.get(), path, kind); !checked) {
    return std::move(checked).error();
  }
  wait_for_transfers(fd.get());
  return fd;
}

int open_without_waiting(const std::string& path, int flags, mode_t mode) {
  // O_NONBLOCK: a FIFO is opened, or not, without its other end. O_NOCTTY: a terminal does not
  // become that of this process.
  return open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, mode);
}

void wait_for_transfers(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags >= 0) fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

Result<std::string> read_small_file(const std::string& path, std::size_t most) {
  const auto fd = open_checked(path, O_RDONLY, FileKind::regular);
  if (!fd) return fd.error().clone();
  // The byte too many tells that there are more.
  std::string text(most + 1, '\0');
  std::size_t length = 0;
  while (length < text.size()) {
    const ssize_t got = read(fd->get(), text.data() + length, text.size() - length);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error(errno, fmt::format("reading {}", path));
    if (got == 0) break;
    length += static_cast<std::size_t>(got);
  }
  if (length > most) {
    return Error(
        Errc::invalid_argument,
        fmt::format("{} has more than the {} that such a file may have", path, size_text(most)));
  }
  text.resize(length);
  return text;
}

Result<void> check_file_size_limit(const std::string& path, std::uint64_t size) {
  // A write beyond the limit does not only fail: the process gets SIGXFSZ.
  rlimit limit{};
  if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
      size <= limit.rlim_cur) {
    return {};
  }
  return Error(Errc::no_space,
               fmt::format("{} would have {}, but files of this process may have {} (ulimit -f); "
                           "raise that limit",
                           path, size_text(size), size_text(limit.rlim_cur)));
}

}  // namespace uvdo
