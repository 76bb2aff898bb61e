// SPDX-License-Identifier: GPL-2.0-or-later
// Where the control socket of a served volume is, so that `uvdo stats VOLUME` finds the server by
// the volume's name alone: a name made of the volume's device and inode, in a folder of this user.
// Such a name is a place to look, and no proof: a suspended server keeps its socket while its file
// may be gone, and the inode's number belong to another volume. So there are several, a server
// takes the first that no server of another volume has, and clients ask each whose it is.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace uvdo {

/// The folder: /run/uvdo for root, else $XDG_RUNTIME_DIR/uvdo or /tmp/uvdo-UID.
[[nodiscard]] std::string control_folder();

/// Where the control socket of the volume at `volume` (a file or block device, by any of its names)
/// may be, in the order in which servers take them: at least one.
Result<std::vector<std::string>> control_paths_of(const std::string& volume);

/// The file in which the server at that control socket keeps which devices it has made.
[[nodiscard]] std::string device_state_of(const std::string& control_path);
/// Where the process listens that keeps descriptors of that server, and the name by which it has
/// the FUSE mount of a device.
[[nodiscard]] std::string keeper_socket_of(const std::string& control_path);
[[nodiscard]] std::string kept_mount_of(const std::string& device);
inline constexpr std::string_view kKeptMounts = "fuse-";  ///< what such names begin with
/// The folder in which it mounts what devices are made of.
[[nodiscard]] std::string device_folder_of(const std::string& control_path);

/// A second name for the socket of the volume that is served as `volume`, made of that path alone.
/// It is there while the volume is suspended, when its file may be moved away or replaced, and
/// afterwards if it was.
[[nodiscard]] std::string control_link_of(const std::string& volume);

/// That name, as a link to the socket.
class ControlLink {
 public:
  /// `socket` is empty if the socket has a path of its own, which needs no other name.
  ControlLink(const std::string& volume, std::string socket);
  ControlLink(const ControlLink&) = delete;
  ControlLink& operator=(const ControlLink&) = delete;
  ~ControlLink() { keep(false); }
  /// Makes or removes the link.
  void keep(bool wanted);

 private:
  std::string link_;
  std::string socket_;
  bool is_there_ = false;
};

/// Makes the folder, with mode 0700. An error if it exists and belongs to somebody else.
Result<void> make_control_folder();

}  // namespace uvdo
