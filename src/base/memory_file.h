// SPDX-License-Identifier: GPL-2.0-or-later
// Memory that has a descriptor (a memfd): whoever holds that keeps it, also when the process that
// has filled it is dead. Its size is sealed, so that nobody can take pages away from who has mapped
// it.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/file_descriptor.h"
#include "base/result.h"

namespace uvdo {

class MemoryFile {
 public:
  MemoryFile() = default;
  /// `size` zeroed bytes; `name` is what /proc tells of it. no_memory: there is no such memory
  /// here.
  [[nodiscard]] static Result<MemoryFile> create(const char* name, std::uint64_t size);
  /// What another process has made so; all of it can be read and written. invalid_argument: it is
  /// something else, or its size is not sealed.
  [[nodiscard]] static Result<MemoryFile> adopt(FileDescriptor fd);
  MemoryFile(MemoryFile&& other) noexcept;
  MemoryFile& operator=(MemoryFile&& other) noexcept;
  ~MemoryFile();

  [[nodiscard]] MutableBytes bytes() const { return bytes_; }
  [[nodiscard]] const FileDescriptor& descriptor() const { return fd_; }
  explicit operator bool() const { return !bytes_.empty(); }

 private:
  static Result<MemoryFile> map(FileDescriptor fd, std::uint64_t size);

  FileDescriptor fd_;
  MutableBytes bytes_;
};

}  // namespace uvdo
