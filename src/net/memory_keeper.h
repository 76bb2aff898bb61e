// SPDX-License-Identifier: GPL-2.0-or-later
// A small process beside a server that holds descriptors of the server's memory and does nothing
// else, so that the memory is there when the server has died. There is one for a path; it stays
// until a server tells it to end, or it holds nothing and nobody is connected to it.
#pragma once

#include <string>
#include <vector>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace uvdo {

class MemoryKeeper {
 public:
  /// So many descriptors it holds at most: of a server that died, and of those that died after it
  /// before they had brought in what it had left.
  static constexpr std::size_t kMost = 64;

  MemoryKeeper() = default;
  /// Connects to the keeper at the Unix socket `path`; starts one if there is none. Before this
  /// process has threads, or files that its children must not have. Without a server it ends when
  /// the file `volume` is not there any more, and after a day. io: it cannot be.
  [[nodiscard]] static Result<MemoryKeeper> start(const std::string& path,
                                                  const std::string& volume);
  /// Connects to the one that is there. io: there is none.
  [[nodiscard]] static Result<MemoryKeeper> reach(const std::string& path);
  explicit operator bool() const { return static_cast<bool>(connection_); }

  /// What servers have left there that died. busy: another one that lives has it.
  [[nodiscard]] Result<std::vector<FileDescriptor>> take();
  /// Holds `fd` as well, until forget_others() of another server or end().
  Result<void> keep(const FileDescriptor& fd);
  /// Holds nothing any more but what this server has given it.
  Result<void> forget_others();
  /// Holds nothing any more of what this server has given it.
  void forget_own();
  /// Holds nothing, and ends.
  void end();

 private:
  explicit MemoryKeeper(FileDescriptor connection) : connection_(std::move(connection)) {}
  Result<std::vector<FileDescriptor>> ask(char what, int fd);

  FileDescriptor connection_;
};

}  // namespace uvdo
