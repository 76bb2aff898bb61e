// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/run_folder.h"

#include <cerrno>
#include <cstdlib>

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

namespace uvdo {

namespace {

/// For the sentences: what it is for, and what to do where it cannot be made, or is not ours.
Result<void> make_folder(const std::string& folder, std::string_view what, std::string_view remedy,
                         std::string_view instead) {
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return errno_error(errno,
                       fmt::format("cannot make the folder {} for {} ({})", folder, what, remedy));
  }
  struct stat status {};
  // In /tmp somebody else may have made it, or a link to a folder of theirs, to have our names at
  // hand.
  if (lstat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode) ||
      status.st_uid != geteuid()) {
    return Error(Errc::exists, fmt::format("{} is not a folder of this user; remove it{}{}", folder,
                                           instead.empty() ? "" : ", or ", instead));
  }
  return {};
}

}  // namespace

std::string run_folder() {
  if (geteuid() == 0) return "/run/uvdo";
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && *runtime == '/') return std::string(runtime) + "/uvdo";
  return fmt::format("/tmp/uvdo-{}", geteuid());
}

std::string lock_folder() {
  if (geteuid() == 0) return "/run/uvdo";
  const std::string runtime = fmt::format("/run/user/{}", geteuid());
  struct stat status {};
  if (stat(runtime.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) return runtime + "/uvdo";
  return fmt::format("/tmp/uvdo-{}", geteuid());
}

Result<void> make_run_folder(std::string_view what, std::string_view instead) {
  return make_folder(run_folder(), what,
                     fmt::format("{}{}set XDG_RUNTIME_DIR to a folder of this user", instead,
                                 instead.empty() ? "" : ", or "),
                     instead);
}

Result<void> make_lock_folder() {
  return make_folder(lock_folder(), "the locks of stores behind a network",
                     "its parent must let this user make it", {});
}

}  // namespace uvdo
