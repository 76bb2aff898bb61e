// SPDX-License-Identifier: GPL-2.0-or-later
// The lock, among the programs of this machine, of a store that is no file: it is on the file that
// stands for the store here (base/store_name.h).
#pragma once

#include <string>
#include <vector>

#include "base/file_descriptor.h"
#include "device/backing_file.h"

namespace uvdo {

class StoreLock {
 public:
  /// Takes it, shared for read_only. busy: another program of this machine uses the store, for
  /// longer than `patience`.
  Result<void> take(const std::string& uri, OpenMode mode,
                    const LockPatience& patience = LockPatience());
  /// The file stays open: who has given up rights since could not open it again.
  void give_back();
  /// What who had the lock for writing last has left for the next one; empty: nothing.
  [[nodiscard]] std::string note() const;
  /// Leaves it. The lock is taken for writing.
  Result<void> leave_note(const std::string& text);
  /// What is locked; empty if it is not.
  [[nodiscard]] const std::vector<StorageRange>& storages() const { return lock_.storages(); }

 private:
  Result<void> take_file(const std::string& path, const std::string& uri, OpenMode mode,
                         const LockPatience& patience);

  FileDescriptor file_;
  StorageLock lock_;
};

}  // namespace uvdo
