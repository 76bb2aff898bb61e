// SPDX-License-Identifier: GPL-2.0-or-later
// Zeroed memory for tests that costs nothing where it is never written; of a file, if one is named,
// so that it outlives the process.
#pragma once

#include <cstddef>
#include <string>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"

namespace uvdo::testing {

class MappedMemory {
 public:
  /// A file keeps what it has; it is made, and made longer, where that is needed.
  MappedMemory(std::size_t size, const std::string& file) : size_(size) {
    int fd = -1;
    if (!file.empty()) {
      fd = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
      check(fd >= 0 && lseek(fd, 0, SEEK_END) >= 0, "a file for memory of a test");
      const auto wanted = static_cast<off_t>(size);
      check(lseek(fd, 0, SEEK_END) >= wanted || ftruncate(fd, wanted) == 0,
            "room for memory of a test");
    }
    const int flags = fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* at = mmap(nullptr, size_, PROT_READ | PROT_WRITE, flags, fd, 0);
    check(at != MAP_FAILED, "memory for a test");
    if (fd >= 0) close(fd);
    bytes_ = static_cast<std::byte*>(at);
  }
  MappedMemory(const MappedMemory&) = delete;
  MappedMemory& operator=(const MappedMemory&) = delete;
  ~MappedMemory() { munmap(bytes_, size_); }

  [[nodiscard]] std::byte* get() const { return bytes_; }

 private:
  std::byte* bytes_ = nullptr;
  std::size_t size_;
};

}  // namespace uvdo::testing
