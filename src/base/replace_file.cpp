// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/replace_file.h"

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_descriptor.h"

namespace uvdo {
namespace {

namespace fs = std::filesystem;

std::string folder_of(const fs::path& path) {
  const fs::path parent = path.parent_path();
  return parent.empty() ? std::string(".") : parent.string();
}

Result<FileDescriptor> open_folder(const std::string& folder) {
  FileDescriptor opened(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!opened) return errno_error(errno, fmt::format("opening {}", folder));
  return opened;
}

Result<void> write_durably(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno_error(errno, fmt::format("writing {}", path));
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  if (fsync(fd) != 0) return errno_error(errno, fmt::format("writing {}", path));
  return {};
}

/// Lets the new file belong to whom the old one does, and be read by whom that is.
Result<void> keep_owner(int folder, const std::string& name, int fd, const std::string& path) {
  struct stat old {};
  if (fstatat(folder, name.c_str(), &old, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return {};
    return errno_error(errno, fmt::format("looking at {}", path));
  }
  if (!S_ISREG(old.st_mode)) return {};
  struct stat fresh {};
  if (fstat(fd, &fresh) != 0) return errno_error(errno, fmt::format("writing {}", path));
  const bool is_same = fresh.st_uid == old.st_uid && fresh.st_gid == old.st_gid;
  if (!is_same && fchown(fd, old.st_uid, old.st_gid) != 0) {
    return errno_error(errno, fmt::format("keeping the owner of {}", path));
  }
  // After the owner, whose change takes bits of the mode away.
  if (fchmod(fd, old.st_mode & 07777) != 0) {
    return errno_error(errno, fmt::format("keeping the mode of {}", path));
  }
  return {};
}

}  // namespace

Result<void> replace_file(const std::string& path, std::string_view text, mode_t mode) {
  const fs::path whole(path);
  const std::string name = whole.filename().string();
  const std::string temporary = fmt::format(".{}.new", name);
  auto folder = open_folder(folder_of(whole));
  if (!folder) return std::move(folder).error();
  const int at = folder->get();
  // One that a program which was killed has left. What somebody puts there meanwhile is not
  // written to: the new file is made, or nothing is.
  if (unlinkat(at, temporary.c_str(), 0) != 0 && errno != ENOENT) {
    return errno_error(errno, fmt::format("removing {} beside {}", temporary, path));
  }
  const FileDescriptor file(
      openat(at, temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  if (!file) return errno_error(errno, fmt::format("making {} beside {}", temporary, path));
  auto written = keep_owner(at, name, file.get(), path);
  if (written) written = write_durably(file.get(), text, path);
  if (written && renameat(at, temporary.c_str(), at, name.c_str()) != 0) {
    written = errno_error(errno, fmt::format("replacing {}", path));
  }
  if (!written) {
    unlinkat(at, temporary.c_str(), 0);
    return written;
  }
  if (fsync(at) != 0) return errno_error(errno, fmt::format("writing {}", path));
  return {};
}

Result<void> sync_folder(const std::string& folder) {
  auto opened = open_folder(folder);
  if (!opened) return std::move(opened).error();
  if (fsync(opened->get()) != 0) return errno_error(errno, fmt::format("writing {}", folder));
  return {};
}

Result<void> make_folders(const std::string& folder) {
  if (mkdir(folder.c_str(), 0755) == 0) return sync_folder(folder_of(folder));
  if (errno == ENOENT) {
    const std::string above = folder_of(folder);
    if (above == folder || above == ".") return errno_error(ENOENT, "making " + folder);
    if (auto made = make_folders(above); !made) return made;
    if (mkdir(folder.c_str(), 0755) == 0) return sync_folder(above);
  }
  const int error = errno;
  struct stat status {};
  if (error == EEXIST && stat(folder.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) return {};
  return errno_error(error, fmt::format("making {}", folder));
}

}  // namespace uvdo
