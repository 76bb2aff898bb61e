// SPDX-License-Identifier: GPL-2.0-or-later
// The file or block device of a volume, opened, with the lock that keeps two programs from using
// one volume.
#pragma once

#include <cstdint>
#include <string>

#include "base/file_descriptor.h"
#include "base/result.h"
#include "device/storage_lock.h"

namespace uvdo {

enum class OpenMode : std::uint8_t { read_only, read_write };

/// An open file or block device, and the lock that keeps others away from what it is.
struct BackingFile {
  FileDescriptor fd;
  StorageLock lock;
};

/// Opens `path` for use as a backing store: O_EXCL on block devices to be written, and the lock
/// (shared for read_only), which are waited for as long as `patience` has it. Errc::busy if
/// somebody else has it.
Result<BackingFile> open_backing_store(const std::string& path, OpenMode mode,
                                       const LockPatience& patience = LockPatience());

/// Makes an empty file of mode 0600 at `path`, where nothing may be yet, for reading and writing.
/// exists: something is there. After an error there is no new file.
Result<BackingFile> make_backing_file(const std::string& path);

/// Size in bytes of an open file or block device.
Result<std::uint64_t> size_of_backing_store(int fd, const std::string& path);

}  // namespace uvdo
