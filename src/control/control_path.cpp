// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/control_path.h"

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text_hash.h"
#include "device/storage_map.h"

namespace uvdo {
namespace {

/// For each but one a server must have been suspended, its file removed, and the number of that
/// given to a file of a further volume.
constexpr unsigned kServersOfOneName = 8;

}  // namespace

std::string control_folder() {
  if (geteuid() == 0) return "/run/uvdo";
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && *runtime == '/') return std::string(runtime) + "/uvdo";
  return fmt::format("/tmp/uvdo-{}", geteuid());
}

Result<std::vector<std::string>> control_paths_of(const std::string& volume) {
  struct stat status {};
  if (stat(volume.c_str(), &status) != 0) {
    return errno_error(errno, fmt::format("cannot open {}", volume));
  }
  const std::string name =
      StorageId::of(status)
          .value_or(StorageId{StorageId::Kind::file, status.st_dev, status.st_ino})
          .text();
  std::vector<std::string> paths{fmt::format("{}/{}.control", control_folder(), name)};
  for (unsigned n = 2; n <= kServersOfOneName; ++n) {
    paths.push_back(fmt::format("{}/{}-{}.control", control_folder(), name, n));
  }
  return paths;
}

namespace {

std::string beside(const std::string& control_path, std::string_view ending) {
  constexpr std::string_view kEnding = ".control";
  std::string path = control_path;
  if (path.ends_with(kEnding)) path.resize(path.size() - kEnding.size());
  return path.append(ending);
}

}  // namespace

std::string device_state_of(const std::string& control_path) {
  return beside(control_path, ".devices");
}

std::string keeper_socket_of(const std::string& control_path) { return control_path + ".kept"; }

std::string kept_mount_of(const std::string& device) { return std::string(kKeptMounts) + device; }

std::string device_folder_of(const std::string& control_path) {
  return beside(control_path, ".mounts");
}

std::string control_link_of(const std::string& volume) {
  std::error_code ignored;
  const std::string path = std::filesystem::absolute(volume, ignored).lexically_normal();
  return fmt::format("{}/path-{:016x}.control", control_folder(), text_hash(path));
}

ControlLink::ControlLink(const std::string& volume, std::string socket)
    : link_(control_link_of(volume)), socket_(std::move(socket)) {}

void ControlLink::keep(bool wanted) {
  if (wanted == is_there_ || socket_.empty()) return;
  unlink(link_.c_str());  // also one of a server that was killed
  // Without it the volume is served all the same; only who asks while it is suspended may not find
  // it.
  is_there_ = wanted && symlink(socket_.c_str(), link_.c_str()) == 0;
}

Result<void> make_control_folder() {
  const std::string folder = control_folder();
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return errno_error(errno, fmt::format("cannot make the folder {} for the control socket (give "
                                          "--control, or set XDG_RUNTIME_DIR to a folder of this "
                                          "user)",
                                          folder));
  }
  struct stat status {};
  // In /tmp somebody else may have made it, or a link to a folder of theirs, to have our sockets at
  // hand.
  if (lstat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode) ||
      status.st_uid != geteuid()) {
    return Error(
        Errc::exists,
        fmt::format("{} is not a folder of this user; remove it, or give --control", folder));
  }
  return {};
}

}  // namespace uvdo
