// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/open_device.h"

#include "device/blocking_file.h"
#include "device/file_device.h"

namespace uvdo {
namespace {

template <class Store>
Result<std::unique_ptr<BackingStore>> as_store(Result<std::unique_ptr<Store>> opened) {
  if (!opened) return std::move(opened).error();
  return std::unique_ptr<BackingStore>(std::move(*opened));
}

}  // namespace

Result<std::unique_ptr<BackingStore>> open_device(UringLoop& loop, const std::string& name,
                                                  OpenMode mode) {
  return as_store(FileDevice::open(loop, name, mode));
}

Result<std::unique_ptr<BackingStore>> open_blocking_device(const std::string& name, OpenMode mode) {
  return as_store(BlockingFile::open(name, mode));
}

}  // namespace uvdo
