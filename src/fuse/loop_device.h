// SPDX-License-Identifier: GPL-2.0-or-later
// A loop device: a block device of the kernel on a file. Made for files of FUSE mounts, but it
// knows nothing of them. All calls block; none may be made from the loop that serves the file, as
// the kernel reads and flushes it meanwhile.
//
// Names of loop devices are used again by whoever comes first. So each call makes sure that the
// device is still on the file, with the device open, as long as which it stays there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace uvdo {

class LoopDevice {
 public:
  struct Settings {
    std::string file;
    bool read_only = false;
    std::uint32_t block_size = 4096;  ///< 512 or 4096
  };
  /// What is to become of a device that is in use.
  enum class InUse : std::uint8_t {
    refuse,  ///< it stays as it is
    later,   ///< it goes when its last user has
  };
  enum class Detached : std::uint8_t {
    now,
    later,  ///< when its last user has gone
  };

  /// Puts the next free loop device on a file, past the page cache. Errors name what is missing.
  static Result<LoopDevice> attach(const Settings& settings);
  /// Those that are on a file, a path without links.
  static std::vector<LoopDevice> find(const std::string& file);

  /// "/dev/loop7"
  [[nodiscard]] std::string path() const;
  /// The file, as the kernel names it.
  [[nodiscard]] const std::string& file() const { return file_; }
  /// The most that one discard may have, in bytes; 0 if it takes none, or is gone.
  [[nodiscard]] std::uint64_t largest_discard() const;
  /// Bytes; 0 if it is gone.
  [[nodiscard]] std::uint64_t size() const;
  [[nodiscard]] bool is_past_page_cache() const;
  /// Whether it is still on the file.
  [[nodiscard]] bool is_attached() const;

  /// Makes it as large as the file is now.
  [[nodiscard]] Result<void> update_size() const;
  /// Takes it off its file; nothing to do where that has been done. busy if it is in use and that
  /// is to be refused.
  [[nodiscard]] Result<Detached> detach(InUse in_use) const;

 private:
  LoopDevice(int number, std::string file) : number_(number), file_(std::move(file)) {}
  [[nodiscard]] Result<void> keep_attached() const;

  int number_;
  std::string file_;
};

}  // namespace uvdo
