// SPDX-License-Identifier: GPL-2.0-or-later
// Another program that goes on in the place of a server: a newer one, or the old one again where
// the newer cannot. It goes on in the same process, or in a new one where drivers take a device
// over only from a process that has ended (ublk, nbd). What clients hold on to outlives the change:
// listening sockets, and mounts whose descriptors nobody else could hand over. They are passed as a
// service manager passes sockets (net/service_manager.h).
#pragma once

#include <string>
#include <vector>

#include "net/kept_descriptor.h"
#include "serve/doors.h"
#include "serve/next_server.h"

namespace uvdo {

class Successor {
 public:
  /// `handed_over`: all that this process was given at its start.
  explicit Successor(std::vector<KeptDescriptor> handed_over);

  // ---- what a program before this one has left
  /// Whether there was one, and this one does not serve yet.
  [[nodiscard]] bool is_taking_over() const { return static_cast<bool>(before_); }
  /// Copies of its listening sockets, for DoorSettings.
  [[nodiscard]] std::vector<KeptDescriptor> sockets() const;
  /// Copies of all but that.
  [[nodiscard]] std::vector<KeptDescriptor> rest() const;
  /// This one serves: there is no way back any more.
  void arrived();
  /// Why a program that was to go on did not, and this one does again; empty: there was none.
  [[nodiscard]] const std::string& problem() const { return problem_; }

  // ---- the program that is to go on
  /// Holds on to the listening sockets; their paths go with this, or stay for the next program.
  Result<void> share(Doors& doors);
  /// The sockets are closed with their last descriptor, and their paths are removed.
  void close() { shared_.clear(); }
  void ask(std::string program, NextServer next) {
    program_ = std::move(program);
    next_ = next;
  }
  [[nodiscard]] bool is_asked() const { return !program_.empty(); }
  /// Passed on too, under its name.
  void add(KeptDescriptor descriptor);
  /// The process, or the one that follows it, becomes that program, with the arguments that this
  /// one was started with; if it cannot be run, this one again. Returns only where neither can, or
  /// where a process is to follow and none can be had. When nothing runs any more.
  Error become(int argc, char** argv);
  /// The process becomes the program before this one, as this one cannot go on: `why`.
  Error go_back(int argc, char** argv, const std::string& why);

 private:
  struct Shared {
    std::string name;
    FileDescriptor fd;
    SocketPath path;
  };
  /// `program`: passed on as the one before.
  void pass_on(const FileDescriptor& program);

  FileDescriptor before_;  ///< the file of the program before this one
  std::vector<Shared> shared_;
  std::vector<KeptDescriptor> rest_;
  std::string program_;
  NextServer next_ = NextServer::same_process;
  std::string problem_;
};

}  // namespace uvdo
