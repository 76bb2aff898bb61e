// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/memory_file.h"

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace uvdo {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

}  // namespace

Result<MemoryFile> MemoryFile::map(FileDescriptor fd, std::uint64_t size) {
  void* const at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (at == MAP_FAILED) return Error(Errc::no_memory, errno_error(errno, "mapping it").message());
  MemoryFile made;
  made.fd_ = std::move(fd);
  made.bytes_ = {static_cast<std::byte*>(at), size};
  return made;
}

Result<MemoryFile> MemoryFile::create(const char* name, std::uint64_t size) {
  FileDescriptor fd(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return Error(Errc::no_memory, errno_error(errno, "making a memory file").message());
  if (ftruncate(fd.get(), static_cast<off_t>(size)) != 0 ||
      fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) {
    return Error(Errc::no_memory, errno_error(errno, "sizing a memory file").message());
  }
  return map(std::move(fd), size);
}

Result<MemoryFile> MemoryFile::adopt(FileDescriptor fd) {
  const int seals = fcntl(fd.get(), F_GET_SEALS);
  struct stat what {};
  if (seals < 0 || (seals & kSeals) != kSeals || fstat(fd.get(), &what) != 0 || what.st_size <= 0) {
    return Error(Errc::invalid_argument, "it is no memory file of a sealed size");
  }
  return map(std::move(fd), static_cast<std::uint64_t>(what.st_size));
}

MemoryFile::MemoryFile(MemoryFile&& other) noexcept
    : fd_(std::move(other.fd_)), bytes_(std::exchange(other.bytes_, {})) {}

MemoryFile& MemoryFile::operator=(MemoryFile&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

MemoryFile::~MemoryFile() {
  if (!bytes_.empty()) munmap(bytes_.data(), bytes_.size());
}

}  // namespace uvdo
