// SPDX-License-Identifier: GPL-2.0-or-later
// Who uses a block device that this machine was given, or a file that stands for one: whoever would
// get errors if it went away.
#pragma once

#include <string>
#include <vector>

#include "device/storage_map.h"

namespace uvdo {

class DeviceUsers {
 public:
  /// `proc` is that of the machine, or a made-up one of a test.
  explicit DeviceUsers(StorageMap map = StorageMap(), std::string proc = "/proc")
      : map_(std::move(map)), proc_(std::move(proc)) {}

  /// In words for people, "mounted on /mnt", "in use as swap", "held by dm-0", "open in process 12
  /// (fio)", with those of its partitions; empty if nobody does. Processes of other users are seen
  /// by root alone; this process and those of udev do not count. Mounts that this process cannot
  /// see, of containers and beyond its root folder, are noticed but not named. Asks no file system.
  /// Not on the thread that serves the device: the kernel may read its partition table first.
  [[nodiscard]] std::vector<std::string> of(const StorageId& id) const;
  /// Those of them that end by themselves when the machine goes down, of it and of all devices that
  /// are made of it (LVM, LUKS): mounts, swap and processes. What is merely made of it stays.
  [[nodiscard]] std::vector<std::string> last_of(const StorageId& id) const;
  /// Where it and its partitions are mounted, the latest last.
  [[nodiscard]] std::vector<std::string> mounts_of(const StorageId& id) const;

 private:
  [[nodiscard]] std::vector<StorageId> with_partitions(const StorageId& id) const;
  void add_swap(const StorageId& id, std::vector<std::string>& users) const;
  void add_processes(const StorageId& id, std::vector<std::string>& users) const;
  [[nodiscard]] bool is_claimed(const StorageId& id) const;

  StorageMap map_;
  std::string proc_;
};

}  // namespace uvdo
