// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/control_path.h"

#include <cerrno>

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/absolute_path.h"
#include "base/run_folder.h"
#include "base/store_name.h"
#include "base/text_hash.h"
#include "device/storage_map.h"

namespace uvdo {
namespace {

/// For each but one a server must have been suspended, its file removed, and the number of that
/// given to a file of a further volume.
constexpr unsigned kServersOfOneName = 8;

Result<std::string> socket_name_of(const std::string& volume) {
  if (!is_path(volume)) return file_name_of_store(volume);
  struct stat status {};
  if (stat(volume.c_str(), &status) != 0) {
    return errno_error(errno, fmt::format("cannot open {}", volume));
  }
  return StorageId::of(status)
      .value_or(StorageId{StorageId::Kind::file, status.st_dev, status.st_ino})
      .text();
}

}  // namespace

std::string control_folder() { return run_folder(); }

Result<std::vector<std::string>> control_paths_of(const std::string& volume) {
  const auto named = socket_name_of(volume);
  if (!named) return named.error().clone();
  const std::string& name = *named;
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
  return fmt::format("{}/path-{:016x}.control", control_folder(),
                     text_hash(absolute_path(store_key(volume))));
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
  return make_run_folder("the control socket", "give --control");
}

}  // namespace uvdo
