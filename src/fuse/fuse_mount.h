// SPDX-License-Identifier: GPL-2.0-or-later
// Mounts of FUSE: making one, by mount(2) for root and by fusermount3 for others; finding out what
// is mounted where; taking one away. All of it may block, and none of it may be called from the
// loop that serves the mount.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/file_descriptor.h"
#include "base/result.h"
#include "device/mount_table.h"

namespace uvdo {

/// The mount that covers all others on `folder`, a path without links; nothing if none does.
[[nodiscard]] std::optional<MountEntry> mount_on(const std::string& folder);

class FuseMount {
 public:
  struct Settings {
    std::string folder;  ///< exists and is empty
    /// Other users than the one who mounts may use it, as far as the file's mode lets them. Who is
    /// not root needs user_allow_other in /etc/fuse.conf for that.
    bool allow_other = false;
    bool read_only = false;
  };

  /// Mounts. The descriptor of /dev/fuse is the caller's by take_descriptor().
  static Result<FuseMount> make(const Settings& settings);
  /// A mount that is there already: of another process, whose descriptor was handed over.
  static Result<FuseMount> adopt(const std::string& folder);

  [[nodiscard]] FileDescriptor take_descriptor() { return std::move(descriptor_); }
  /// Where it is, without links.
  [[nodiscard]] const std::string& folder() const { return folder_; }

  /// Takes it off its folder, at once; whoever uses files of it may do so as long as it is served.
  /// Does nothing where it has been taken off already.
  [[nodiscard]] Result<void> unmount() const;

 private:
  FuseMount(std::string folder, FileDescriptor descriptor, MountEntry entry)
      : folder_(std::move(folder)), descriptor_(std::move(descriptor)), entry_(std::move(entry)) {}

  std::string folder_;
  FileDescriptor descriptor_;
  MountEntry entry_;
};

/// Whether a volume is mounted on `folder` and its server answers. Waits where the descriptor is
/// kept for another server, which is to adopt it.
[[nodiscard]] Result<bool> has_living_server(const std::string& folder);

/// Takes mounts of ours off `folder`, which a killed server has left. No error if there is none;
/// busy if a server that lives has mounted there.
[[nodiscard]] Result<void> unmount_remains(const std::string& folder);

}  // namespace uvdo
