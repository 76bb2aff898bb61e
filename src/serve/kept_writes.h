// SPDX-License-Identifier: GPL-2.0-or-later
// Sees to it that the memory of a server outlives it, and that what one that died has left is
// found: with the service manager, if there is one that stores descriptors, else with a process of
// its own (net/memory_keeper.h). Where nobody keeps it all works as without.
//
// A file beside the control socket says that a server of this boot has not come to its end; its
// successor knows by that whether something may have been lost.
#pragma once

#include <string>
#include <vector>

#include "base/log.h"
#include "base/memory_file.h"
#include "net/memory_keeper.h"
#include "net/service_manager.h"
#include "volume/kept_start.h"

namespace uvdo {

class KeptWrites {
 public:
  /// `path`: of the control socket of `volume`. `is_wanted`: --keep-writes. `stored`: what the
  /// service manager has handed over. Before the process has threads.
  KeptWrites(std::string path, const std::string& volume, bool is_wanted,
             std::vector<ServiceManager::Stored> stored);

  /// When the storage is locked, so that the server before is dead or gone: memory for a volume
  /// that is opened with `options`. All of it lives as long as this.
  KeptMemories take(const VolumeOptions& options, const LogFunction& log);
  /// The volume is open, and has what the other servers had left. Whether clients may miss writes
  /// of theirs that were answered.
  bool opened(const KeptReport& report, const LogFunction& log);
  /// It could not be opened; what the other servers have left stays.
  void failed();
  /// The volume was saved: nothing is left to be kept.
  void saved();

 private:
  void take_from_keeper();
  void store(const VolumeOptions& options);
  [[nodiscard]] std::string marker() const { return path_ + ".running"; }

  std::string path_;
  bool is_wanted_;
  bool is_unfinished_ = false;  ///< the server before did not come to its end
  ServiceManager manager_;
  MemoryKeeper keeper_;
  std::string problem_;
  std::vector<ServiceManager::Stored> stored_;
  MemoryFile own_;
  std::vector<MemoryFile> left_;
  std::vector<std::string> left_names_;
  std::string own_name_;
};

}  // namespace uvdo
