// SPDX-License-Identifier: GPL-2.0-or-later
// The program with which users who are not root mount FUSE file systems: fusermount3, of the
// package fuse3. It opens /dev/fuse, mounts, and sends the descriptor over a socket whose number
// the variable _FUSE_COMMFD tells it. Calls block until it has ended.
#pragma once

#include <string>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace uvdo {

struct Fusermount {
  /// Mounts on `folder`; the descriptor of /dev/fuse. `options`: as for mount -o.
  static Result<FileDescriptor> mount(const std::string& folder, const std::string& options);
  /// Takes a mount off `folder`, even if it is in use.
  static Result<void> unmount(const std::string& folder);
};

}  // namespace uvdo
