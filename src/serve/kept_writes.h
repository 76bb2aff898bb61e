// SPDX-License-Identifier: GPL-2.0-or-later
// Sees to it that the memory of a server outlives it, and that what one that died has left is
// found. Where nobody keeps it all works as without.
//
// A file beside the control socket says that a server of this boot has not come to its end with
// that volume; its successor knows by that whether something may have been lost.
#pragma once

#include <string>
#include <vector>

#include "base/log.h"
#include "base/memory_file.h"
#include "serve/kept_descriptors.h"
#include "volume/kept_start.h"
#include "volume/volume_headers.h"

namespace uvdo {

class KeptWrites {
 public:
  /// `path`: of the control socket. `kept` must outlive this.
  KeptWrites(std::string path, KeptDescriptors& kept) : path_(std::move(path)), kept_(kept) {}

  /// Where the server before was. Of one of this machine the file beside the socket tells. Where it
  /// may have been on another one, clients that live on may miss what a dirty volume does not have;
  /// and what was lost of one that died here was told to them by the server that saved the volume
  /// since.
  enum class Before : std::uint8_t {
    here,
    anywhere,
    anywhere_written_through,  ///< and it had answered nothing that was not stable
  };
  /// When the storage is locked, so that the server before is dead or gone: memory for the volume
  /// with these `headers`, which is opened with `options`. All of it lives as long as this.
  /// `is_wanted`: --keep-writes.
  KeptMemories take(const VolumeHeaders& headers, const VolumeOptions& options, bool is_wanted,
                    Before before, const LogFunction& log);
  /// The volume is open, and has what the other servers had left. Whether clients may miss writes
  /// of theirs that were answered.
  bool opened(const KeptReport& report, const LogFunction& log);
  /// It could not be opened; what the other servers have left stays.
  void failed();
  /// The volume was saved: nothing of its memory is left to be kept.
  void saved();

 private:
  void claim_left(const VolumeHeaders& headers, const LogFunction& log);
  void store(const VolumeOptions& options);
  [[nodiscard]] std::string marker() const { return path_ + ".running"; }

  std::string path_;
  KeptDescriptors& kept_;
  Before before_ = Before::here;
  bool is_unfinished_ = false;  ///< the server before did not come to its end
  std::string problem_;
  MemoryFile own_;
  std::vector<MemoryFile> left_;
  std::vector<std::string> left_names_;
  std::string own_name_;
};

}  // namespace uvdo
