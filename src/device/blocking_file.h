// SPDX-License-Identifier: GPL-2.0-or-later
// A regular file or block device whose requests complete inside submit(), by system calls through
// the page cache, which reads ahead. For tools that do one thing after the other: they need no
// runtime, and a kernel that has no io_uring for them will do.
#pragma once

#include <memory>
#include <string>

#include "device/file_store.h"

namespace uvdo {

class BlockingFile final : public FileStore {
 public:
  static Result<std::unique_ptr<BlockingFile>> open(const std::string& path, OpenMode mode);
  /// The same with a file that is open already, under its lock (make_backing_file).
  static Result<std::unique_ptr<BlockingFile>> adopt(BackingFile file, const std::string& path,
                                                     OpenMode mode);

  void submit(Request& request) override {
    begin(request);
    request.error = carry_out(request);
    request.done = true;
    end(request, request.error);
  }
  void share_reads(WorkBatches* /*batches*/) override {}

 private:
  BlockingFile(const std::string& path, OpenMode mode) : FileStore(path, mode) {}
  void prepare(int /*fd*/, std::uint64_t /*size*/) override {}
};

}  // namespace uvdo
