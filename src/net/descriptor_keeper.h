// SPDX-License-Identifier: GPL-2.0-or-later
// A small process beside a server that holds descriptors of the server (its memory, its FUSE
// mounts) and does nothing else, so that they are there when the server has died. There is one for
// a path; it stays until a server tells it to end, or it holds nothing and nobody is connected to
// it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/descriptor_message.h"
#include "base/result.h"
#include "net/kept_descriptor.h"

namespace uvdo {

class DescriptorKeeper {
 public:
  /// So many descriptors it holds at most: of a server that died, and of those that died after it
  /// before they had brought in what it had left.
  static constexpr std::size_t kMost = kMostSentFiles;
  /// Bytes of a name.
  static constexpr std::size_t kLongestName = 128;

  DescriptorKeeper() = default;
  /// Connects to the keeper at the Unix socket `path`; starts one if there is none. Before this
  /// process has threads, or files that its children must not have. Without a server it ends when
  /// the file `volume` is not there any more, and after a day. io: it cannot be.
  [[nodiscard]] static Result<DescriptorKeeper> start(const std::string& path,
                                                      const std::string& volume);
  /// Connects to the one that is there. io: there is none.
  [[nodiscard]] static Result<DescriptorKeeper> reach(const std::string& path);
  explicit operator bool() const { return static_cast<bool>(connection_); }

  /// Copies of all that it holds; from here on it is this one's alone. For who has the lock of what
  /// the path is of: others may be connected that wait for it. busy: another server that lives has
  /// it.
  [[nodiscard]] Result<std::vector<KeptDescriptor>> take();
  /// Holds a copy of `fd` as `name`, in the place of what it has held by that name, until forget().
  Result<void> keep(int fd, std::string_view name);
  /// Holds nothing by that name any more.
  Result<void> forget(std::string_view name);
  /// Holds nothing, and ends, unless somebody is connected who has it next.
  void end();

 private:
  explicit DescriptorKeeper(FileDescriptor connection) : connection_(std::move(connection)) {}
  Result<std::vector<KeptDescriptor>> ask(char what, std::string_view name, int fd);

  FileDescriptor connection_;
};

}  // namespace uvdo
