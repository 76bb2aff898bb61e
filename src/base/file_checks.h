// SPDX-License-Identifier: GPL-2.0-or-later
// Files that people name: what is no file of the kind that is needed is refused at once. Opening a
// FIFO would wait for its other end, reading a character device may never end, and opening one may
// do something (rewind a tape, start a watchdog).
#pragma once

#include <cstdint>
#include <string>

#include <sys/types.h>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace uvdo {

/// What a file may be.
enum class FileKind : std::uint8_t {
  regular,
  store,  ///< a regular file or a block device
};

/// invalid_argument: there is something else at `path`; another error: there is nothing that could
/// be looked at.
Result<void> check_file_kind(const std::string& path, FileKind kind);
/// The same for an open file; `path` is what people call it.
Result<void> check_file_kind(int fd, const std::string& path, FileKind kind);

/// Opens a file of `kind`, without waiting for anything and without touching what is of another
/// kind; what it is used for then waits as ever. `flags` as of open(2), O_CLOEXEC included; with
/// O_CREAT one that is not there is made, with `mode`.
Result<FileDescriptor> open_checked(const std::string& path, int flags, FileKind kind,
                                    mode_t mode = 0);

/// Opens what is at `path`, without waiting for anything; -1 and errno as of open(2), O_CLOEXEC
/// included. Who has it asks check_file_kind(fd) next, then wait_for_transfers().
[[nodiscard]] int open_without_waiting(const std::string& path, int flags, mode_t mode = 0);
/// Takes back what open_without_waiting() set: reads and writes wait again.
void wait_for_transfers(int fd);

/// The contents of a regular file of at most `most` bytes.
Result<std::string> read_small_file(const std::string& path, std::size_t most);

/// An error if this process may not make a file as large as `size` bytes (ulimit -f).
Result<void> check_file_size_limit(const std::string& path, std::uint64_t size);

}  // namespace uvdo
