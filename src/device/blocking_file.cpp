// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/blocking_file.h"

namespace uvdo {

Result<std::unique_ptr<BlockingFile>> BlockingFile::open(const std::string& path, OpenMode mode) {
  std::unique_ptr<BlockingFile> file(new BlockingFile(path, mode));
  auto opened = file->reopen();
  if (!opened) return std::move(opened).error();
  return file;
}

Result<std::unique_ptr<BlockingFile>> BlockingFile::adopt(BackingFile file, const std::string& path,
                                                          OpenMode mode) {
  std::unique_ptr<BlockingFile> store(new BlockingFile(path, mode));
  auto taken = store->take(std::move(file));
  if (!taken) return std::move(taken).error();
  return store;
}

}  // namespace uvdo
