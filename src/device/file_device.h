// SPDX-License-Identifier: GPL-2.0-or-later
// A regular file or block device as backing store, through io_uring.
#pragma once

#include <memory>

#include "async/uring_loop.h"
#include "async/work_batches.h"
#include "base/object_pool.h"
#include "device/file_store.h"

namespace uvdo {

class FileDevice final : public FileStore {
 public:
  /// Opens `path`. Where the file system can do it, the page cache is bypassed (O_DIRECT); then
  /// all buffers, offsets and lengths must be multiples of 4096.
  static Result<std::unique_ptr<FileDevice>> open(UringLoop& loop, const std::string& path,
                                                  OpenMode mode);

  /// The same with a file that is open already, under its lock (make_backing_file).
  static Result<std::unique_ptr<FileDevice>> adopt(UringLoop& loop, BackingFile file,
                                                   const std::string& path, OpenMode mode);
  ~FileDevice() override;

  void submit(Request& request) override;
  void share_reads(WorkBatches* batches) override { batches_ = batches; }
  void send_while(std::function<bool()> may_send) override { may_send_ = std::move(may_send); }
  /// Whether the file is one of a file system in memory: requests complete inside submit() then,
  /// which costs less than to have the kernel do them, unless they are shared.
  [[nodiscard]] bool is_in_memory() const { return in_memory_; }

 private:
  /// A request on its way through the kernel, resubmitted as long as it comes back short.
  struct Transfer;
  FileDevice(UringLoop& loop, std::string path, OpenMode mode);
  void prepare(int fd, std::uint64_t size) override;
  void share(Request& request);
  Transfer& take_transfer(Request& request);
  void start(Transfer& transfer);
  void start_fallocate(Transfer& transfer, int mode);
  void look_at_result(Transfer& transfer);
  void finish(Transfer& transfer, int error);

  UringLoop& loop_;
  bool in_memory_ = false;
  std::function<bool()> may_send_;
  WorkBatches* batches_ = nullptr;
  std::unique_ptr<ObjectPool<Transfer>> transfers_;
};

}  // namespace uvdo
