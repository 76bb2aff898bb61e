// SPDX-License-Identifier: GPL-2.0-or-later
// A regular file or block device as backing store, through io_uring. Opening takes the lock that
// keeps two programs from using one volume.
#pragma once

#include <functional>
#include <memory>

#include "async/uring_loop.h"
#include "async/work_batches.h"
#include "base/file_descriptor.h"
#include "base/object_pool.h"
#include "device/backing_looker.h"
#include "device/backing_store.h"
#include "device/device.h"
#include "device/device_activity.h"
#include "device/storage_lock.h"

namespace uvdo {

enum class OpenMode : std::uint8_t { read_only, read_write };

/// An open file or block device, and the lock that keeps others away from what it is.
struct BackingFile {
  FileDescriptor fd;
  StorageLock lock;
};

/// Opens `path` for use as a backing store: O_EXCL on block devices to be written, and the lock
/// (shared for read_only). Errc::busy if somebody else has it.
Result<BackingFile> open_backing_store(const std::string& path, OpenMode mode);

/// Size in bytes of an open file or block device.
Result<std::uint64_t> size_of_backing_store(int fd, const std::string& path);

class FileDevice final : public Device {
 public:
  /// A request that failed.
  struct Failure {
    Op op{};
    std::uint64_t offset = 0;  ///< bytes
    std::uint64_t length = 0;
    int error = 0;  ///< errno
  };

  /// Opens `path`. Where the file system can do it, the page cache is bypassed (O_DIRECT); then
  /// all buffers, offsets and lengths must be multiples of 4096.
  static Result<std::unique_ptr<FileDevice>> open(UringLoop& loop, const std::string& path,
                                                  OpenMode mode);

  /// The same with a file that is open already, under its lock (open_backing_store).
  static Result<std::unique_ptr<FileDevice>> adopt(UringLoop& loop, BackingFile file,
                                                   const std::string& path, OpenMode mode);

  void submit(Request& request) override;
  [[nodiscard]] std::uint64_t size() const override { return size_; }
  void share_reads(WorkBatches* batches) override { batches_ = batches; }
  Result<std::uint64_t> look_up_size() override;
  Result<void> extend(std::uint64_t size) override;
  bool zero_at_once(std::uint64_t offset, std::uint64_t length) override;
  /// Closes the file, and thereby gives its lock away; not one that would be gone with that.
  Result<void> release() override;
  Result<void> reopen() override;
  [[nodiscard]] const std::string& name() const override { return path_; }
  /// Whether the file is one of a file system in memory: requests complete inside submit() then,
  /// which costs less than to have the kernel do them, unless they are shared.
  [[nodiscard]] bool is_in_memory() const { return in_memory_; }
  /// What it is, and what lies beneath; empty while it is released.
  [[nodiscard]] const std::vector<StorageRange>& storages() const { return file_.lock.storages(); }
  [[nodiscard]] DeviceActivity activity() const { return meter_.activity(); }
  /// Called for each request that failed, before who asked for it goes on.
  void on_failure(std::function<void(const Failure&)> f) { on_failure_ = std::move(f); }
  /// What has become of the file or disk; busy: it has been let go of. Its file system may keep the
  /// caller waiting.
  [[nodiscard]] Result<BackingState> look() const;
  /// The same without waiting: what was last found out, at the opening or since; and sees to it
  /// that it is looked at anew.
  [[nodiscard]] Result<BackingState> last_look();
  /// Bytes of a range that the file system calls a hole (backing_store.h).
  [[nodiscard]] Result<std::uint64_t> holes(std::uint64_t offset, std::uint64_t length) const {
    return hole_bytes(file_.fd.get(), offset, length);
  }

 private:
  /// A request on its way through the kernel, resubmitted as long as it comes back short.
  struct Transfer;
  FileDevice(UringLoop& loop, std::string path, OpenMode mode);
  Result<void> take(BackingFile file);
  [[nodiscard]] bool transfer_at_once(const Request& request) const;
  void share(Request& request);
  Transfer& take_transfer(Request& request);
  void start(Transfer& transfer);
  void finish(Transfer& transfer, int error);

  UringLoop& loop_;
  std::string path_;
  OpenMode mode_;
  BackingFile file_;
  std::uint64_t size_ = 0;
  bool in_memory_ = false;
  DeviceMeter meter_;
  std::function<void(const Failure&)> on_failure_;
  std::optional<Result<BackingState>> last_look_;  // while it is open and was asked for
  std::unique_ptr<BackingLooker> looker_;          // once somebody asks
  WorkBatches* batches_ = nullptr;
  std::unique_ptr<ObjectPool<Transfer>> transfers_;

 public:
  ~FileDevice() override;
};

}  // namespace uvdo
