// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/open_device.h"

#include <cerrno>

#include <fmt/core.h>
#include <sys/stat.h>

#include "device/blocking_file.h"
#include "device/file_device.h"

namespace uvdo {
namespace {

/// The two kinds of file as what they have in common.
template <class Store>
Result<std::unique_ptr<BackingStore>> as_store(Result<std::unique_ptr<Store>> opened) {
  if (!opened) return std::move(opened).error();
  return std::unique_ptr<BackingStore>(std::move(*opened));
}

}  // namespace

Result<void> check_is_free(const std::string& name, OpenMode mode) {
  auto opened = open_backing_store(name, mode, LockPatience(std::chrono::seconds(0)));
  if (!opened) return std::move(opened).error();
  return {};
}

Result<std::unique_ptr<BackingStore>> open_device(UringLoop& loop, const std::string& name,
                                                  OpenMode mode) {
  return as_store(FileDevice::open(loop, name, mode));
}

Result<std::unique_ptr<BackingStore>> make_device(UringLoop& loop, const std::string& name) {
  auto file = make_backing_file(name);
  if (!file) return std::move(file).error();
  return as_store(FileDevice::adopt(loop, std::move(*file), name, OpenMode::read_write));
}

Result<std::unique_ptr<BackingStore>> open_blocking_device(const std::string& name, OpenMode mode) {
  return as_store(BlockingFile::open(name, mode));
}

Result<std::unique_ptr<BackingStore>> make_blocking_device(const std::string& name) {
  auto file = make_backing_file(name);
  if (!file) return std::move(file).error();
  return as_store(BlockingFile::adopt(std::move(*file), name, OpenMode::read_write));
}

Result<NameOf> look_up_name(const std::string& name) {
  struct stat status {};
  if (stat(name.c_str(), &status) == 0) {
    return S_ISREG(status.st_mode) ? NameOf::file : NameOf::other;
  }
  if (errno == ENOENT) return NameOf::nothing;
  return errno_error(errno, fmt::format("cannot examine {}", name));
}

}  // namespace uvdo
