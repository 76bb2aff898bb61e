// SPDX-License-Identifier: GPL-2.0-or-later
// A regular file or block device as backing store: all but how its requests are made, which
// FileDevice (io_uring, beside the page cache) and BlockingFile (system calls, through it) have
// each in its way.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "device/backing_file.h"
#include "device/backing_looker.h"
#include "device/backing_store.h"

namespace uvdo {

/// Of one thread, but for carry_out() of reads, which work threads may call as well.
class FileStore : public BackingStore {
 public:
  ~FileStore() override;

  [[nodiscard]] const std::string& name() const final { return path_; }
  [[nodiscard]] std::uint64_t size() const final { return size_; }
  Result<std::uint64_t> look_up_size() final;
  Task<Result<void>> extend(std::uint64_t size) final;
  Result<void> make_anew(std::uint64_t size) final;
  [[nodiscard]] const std::vector<StorageRange>& storages() const final {
    return file_.lock.storages();
  }
  /// Closes the file, and thereby gives its lock away; not one that would be gone with that.
  Result<void> release() final;
  Result<void> reopen() final;
  [[nodiscard]] Result<BackingState> look() const final;
  [[nodiscard]] Result<BackingState> last_look() final;
  [[nodiscard]] Result<std::uint64_t> holes(std::uint64_t offset,
                                            std::uint64_t length) const final {
    return hole_bytes(file_.fd.get(), offset, length);
  }
  Result<void> take_room(std::uint64_t size) final;
  [[nodiscard]] std::uint64_t next_data(std::uint64_t offset, std::uint64_t limit) final;
  [[nodiscard]] DeviceActivity activity() const final { return meter_.activity(); }
  void on_failure(std::function<void(const Failure&)> f) final { on_failure_ = std::move(f); }

 protected:
  FileStore(std::string path, OpenMode mode);
  /// Uses a file that is open, under its lock.
  Result<void> take(BackingFile file);
  /// Called for each file before it is used, and when it has been made anew.
  virtual void prepare(int fd, std::uint64_t size) = 0;

  [[nodiscard]] int fd() const { return file_.fd.get(); }
  /// The mode of the fallocate(2) that does what a discard or write_zeroes asks for; the second one
  /// where the first cannot be done. Nothing: there is no (further) one.
  [[nodiscard]] std::optional<int> fallocate_mode(Op op, unsigned attempt) const;
  /// Carries a request out in the thread that calls, however long it takes; errno.
  [[nodiscard]] int carry_out(const Request& request) const;

  // The account of all requests: each begins, and ends with its errno.
  void begin(const Request& request) { meter_.begin(request.op, request.length); }
  void end(const Request& request, int error);

 private:
  std::string path_;
  OpenMode mode_;
  BackingFile file_;
  std::uint64_t size_ = 0;
  bool is_block_device_ = false;
  bool has_holes_ = true;  // as far as is known
  DeviceMeter meter_;
  std::function<void(const Failure&)> on_failure_;
  std::optional<Result<BackingState>> last_look_;  // while it is open and was asked for
  std::unique_ptr<BackingLooker> looker_;          // once somebody asks
};

/// Whether fallocate(2) has failed with `error` because such a file or device has none of it.
[[nodiscard]] bool cannot_be_done(int error);

}  // namespace uvdo
