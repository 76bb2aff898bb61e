// SPDX-License-Identifier: GPL-2.0-or-later
#include "serve/control_path.h"

#include <cerrno>
#include <cstdlib>

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace uvdo {

std::string control_folder() {
  if (geteuid() == 0) return "/run/uvdo";
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && *runtime == '/') return std::string(runtime) + "/uvdo";
  return fmt::format("/tmp/uvdo-{}", geteuid());
}

Result<std::string> control_path_of(const std::string& volume) {
  struct stat status {};
  if (stat(volume.c_str(), &status) != 0) {
    return errno_error(errno, fmt::format("cannot open {}", volume));
  }
  if (S_ISBLK(status.st_mode)) {
    return fmt::format("{}/block-{}-{}.control", control_folder(), major(status.st_rdev),
                       minor(status.st_rdev));
  }
  return fmt::format("{}/file-{:x}-{}.control", control_folder(), status.st_dev, status.st_ino);
}

Result<void> make_control_folder() {
  const std::string folder = control_folder();
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return errno_error(errno, fmt::format("cannot make the folder {}", folder));
  }
  struct stat status {};
  if (lstat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode) ||
      status.st_uid != geteuid()) {
    return Error(
        Errc::exists,
        fmt::format("{} is not a folder of this user; remove it, or give --control", folder));
  }
  return {};
}

}  // namespace uvdo
