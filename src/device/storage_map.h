// SPDX-License-Identifier: GPL-2.0-or-later
// What a file or a block device really is: itself, and the storages that lie beneath it (the disk
// of a partition, the file of a loop device, the devices of a map), by what the kernel tells in
// /sys. So two names of one storage are known for what they are (storage_lock.h).
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "device/mapper_table.h"

struct stat;

namespace uvdo {

/// A storage as the kernel counts them, whatever its names are.
struct StorageId {
  enum class Kind : std::uint8_t { file, block };
  Kind kind = Kind::file;
  dev_t device = 0;  ///< the number of a block device, or of the file system of a file
  ino_t inode = 0;   ///< of a file

  /// Nothing if it is neither a regular file nor a block device.
  static std::optional<StorageId> of(const struct stat& status);
  /// What is at `path`, as far as the kernel knows without asking anybody: a server that does not
  /// answer is not waited for.
  static std::optional<StorageId> at(const std::string& path);
  /// "block-7-0" or "file-fe00-1234"; the names of control sockets are made of it.
  [[nodiscard]] std::string text() const;
  auto operator<=>(const StorageId&) const = default;
};

/// Bytes of a storage.
struct StorageRange {
  static constexpr std::uint64_t kToTheEnd = UINT64_MAX;
  enum class Share : std::uint8_t {
    exact,   ///< these bytes
    within,  ///< some of these bytes: of a map that only its maker knows
  };
  StorageId id;
  std::string path;  ///< a name of it; empty where it has none here
  std::uint64_t start = 0;
  std::uint64_t length = kToTheEnd;
  Share share = Share::exact;

  [[nodiscard]] std::uint64_t end() const {
    return length > kToTheEnd - start ? kToTheEnd : start + length;
  }
};

class StorageMap {
 public:
  /// The folders are those of the machine, or made-up ones of a test.
  explicit StorageMap(std::string sys = "/sys", const std::string& dev = "/dev")
      : StorageMap(std::move(sys), dev, [control = dev + "/mapper/control"](dev_t device) {
          return ask_map_table(control, device);
        }) {}
  using TableOf = std::function<std::optional<MapTable>(dev_t)>;
  StorageMap(std::string sys, std::string dev, TableOf table_of)
      : sys_(std::move(sys)), dev_(std::move(dev)), table_of_(std::move(table_of)) {}

  /// The storage `id`, known as `path`, and all that lies beneath it, from top to bottom. What
  /// /sys does not tell is missing.
  [[nodiscard]] std::vector<StorageRange> beneath(const StorageId& id,
                                                  const std::string& path) const;

  /// The nodes in /dev of the loop devices over the file `id`.
  [[nodiscard]] std::vector<std::string> loops_over(const StorageId& id) const;

  /// The node in /dev that the kernel has made for a block device; empty if there is none.
  [[nodiscard]] std::string node_of(dev_t device) const;

  /// The names of those who keep a block device for themselves, such as "dm-0".
  [[nodiscard]] std::vector<std::string> holders_of(dev_t device) const;

  /// The partitions of a disk.
  [[nodiscard]] std::vector<dev_t> partitions_of(dev_t disk) const;

 private:
  class Walk;
  [[nodiscard]] std::string folder_of(dev_t device) const;

  std::string sys_;
  std::string dev_;
  TableOf table_of_;
};

}  // namespace uvdo
