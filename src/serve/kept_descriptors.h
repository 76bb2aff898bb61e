// SPDX-License-Identifier: GPL-2.0-or-later
// Descriptors of a server that somebody else holds too, so that they outlive it: the service
// manager, if there is one that stores descriptors, else a process of their own
// (net/descriptor_keeper.h). The next server of the volume finds them by their names.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "net/descriptor_keeper.h"
#include "net/service_manager.h"

namespace uvdo {

class KeptDescriptors {
 public:
  /// Nobody keeps any.
  KeptDescriptors() = default;
  /// `path`: of the control socket of `volume`. `handed_over`: what this process was given at its
  /// start (ServiceManager::take_stored()). `how`: whether somebody is to keep any. Before the
  /// process has threads.
  enum class How : std::uint8_t { keep, only_take_over };
  KeptDescriptors(const std::string& path, const std::string& volume,
                  std::vector<KeptDescriptor> handed_over, How how);

  /// Learns what servers before have left. When the storage is locked, so that they are dead or
  /// gone.
  void take_over();
  /// Whether somebody keeps descriptors; if not, problem() may say why.
  [[nodiscard]] bool is_there() const { return keeper_ || manager_.is_there(); }
  [[nodiscard]] const std::string& problem() const { return problem_; }

  /// What was left whose name begins with `prefix`; it is the caller's, and is kept all the same
  /// until forget().
  [[nodiscard]] std::vector<KeptDescriptor> claim(std::string_view prefix);
  /// The same of that one name; none if nothing was left by it.
  [[nodiscard]] FileDescriptor claim_one(std::string_view name);
  /// Has a copy of `fd` kept as `name`, which nothing else has. An error if nobody keeps it.
  Result<void> keep(const std::string& name, int fd);
  void forget(const std::string& name);
  /// Copies of what the service manager keeps: a program that goes on in this process is not given
  /// it by the manager.
  [[nodiscard]] std::vector<KeptDescriptor> take_copies();
  /// The server ends in order. What is kept still is for the next one; without any, nobody stays.
  void leave();

 private:
  void note(const std::string& name, int fd);

  std::string path_;
  ServiceManager manager_{std::string()};
  DescriptorKeeper keeper_;
  std::string problem_;
  std::vector<KeptDescriptor> left_;
  std::vector<KeptDescriptor> kept_;  ///< all that is; with copies where take_copies() has them
};

}  // namespace uvdo
