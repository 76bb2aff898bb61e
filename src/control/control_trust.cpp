// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/control_trust.h"

#include <cerrno>
#include <filesystem>

#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/socket_peer.h"

namespace uvdo {
namespace {

Result<void> trust_folder_of(const std::filesystem::path& socket, uid_t self) {
  const std::string folder = socket.has_parent_path() ? socket.parent_path().string() : ".";
  struct stat status {};
  if (stat(folder.c_str(), &status) != 0) {
    return errno_error(errno, fmt::format("cannot examine {}", folder));
  }
  if (status.st_uid != 0 && status.st_uid != self) {
    return Error(Errc::invalid_argument,
                 fmt::format("the control socket {} is not believed: its folder belongs to user "
                             "{}; ask as that user",
                             socket.string(), status.st_uid));
  }
  // In a sticky folder such as /tmp everybody may make a name, but nobody take away that of
  // another; who made this one is seen by trust_peer().
  if ((status.st_mode & S_IWOTH) != 0 && (status.st_mode & S_ISVTX) == 0) {
    return Error(Errc::invalid_argument,
                 fmt::format("the control socket {} is not believed: everybody may put one into "
                             "its folder; serve with --control in a folder of your own",
                             socket.string()));
  }
  return {};
}

}  // namespace

Result<void> trust_socket_folder(const std::string& path, uid_t self) {
  // A path may be a link (ControlLink): both folders count, as whoever may change one of them
  // decides where it leads.
  if (auto trusted = trust_folder_of(path, self); !trusted) return trusted;
  std::error_code error;
  const auto real = std::filesystem::canonical(path, error);
  if (error || real == path) return {};
  return trust_folder_of(real, self);
}

Result<void> trust_peer(int fd, const std::string& path, uid_t self) {
  const auto peer = socket_peer(fd);
  if (!peer) {
    return errno_error(errno, fmt::format("asking who listens at {}", path));
  }
  if (peer->uid == 0 || peer->uid == self) return {};
  return Error(Errc::invalid_argument,
               fmt::format("the control socket {} is not believed: user {} listens there (process "
                           "{}), neither root nor you",
                           path, peer->uid, peer->pid));
}

}  // namespace uvdo
