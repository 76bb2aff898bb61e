// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/file_device.h"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/block_types.h"
#include "base/file_checks.h"
#include "base/file_lock.h"
#include "device/room_gate.h"

namespace uvdo {

struct FileDevice::Transfer : UringLoop::Operation, WorkBatches::Piece {
  FileDevice* device = nullptr;
  Request* request = nullptr;
  std::uint64_t done_bytes = 0;
  std::vector<iovec> rest;  // what is left of a transfer that came back short
  bool is_made = false;     // by whom it was shared with
};

namespace {
/// How long a look that is under way may keep a file that is let go of.
constexpr std::chrono::milliseconds kLookPatience{100};
/// Transfers that may be under way at once before memory is taken for more.
constexpr std::size_t kTransfers = 4096;

bool is_file_in_memory(int fd) {
  struct stat status {};
  struct statfs system {};
  return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && fstatfs(fd, &system) == 0 &&
         (system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC);
}

DeviceMeter::Kind kind_of(Device::Op op) {
  switch (op) {
    case Device::Op::read: return DeviceMeter::Kind::read;
    case Device::Op::write: return DeviceMeter::Kind::write;
    case Device::Op::flush: break;
  }
  return DeviceMeter::Kind::flush;
}

}  // namespace

Result<BackingFile> open_backing_store(const std::string& path, OpenMode mode) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) {
    return errno_error(errno, fmt::format("cannot open {}", path));
  }
  const bool block_device = S_ISBLK(status.st_mode);
  int flags = mode == OpenMode::read_only ? O_RDONLY : O_RDWR;
  if (block_device && mode == OpenMode::read_write) flags |= O_EXCL;
  Result<FileDescriptor> opened = FileDescriptor();
  const LockPatience patience;
  const bool free = patience.take([&] {
    opened = open_checked(path, flags, FileKind::store);
    return opened || opened.error().code() != Errc::busy;
  });
  if (!free) {
    StorageRange whole;
    whole.id = StorageId::of(status).value_or(StorageId());
    return storage_in_use(path, whole);
  }
  if (!opened) return std::move(opened).error();
  BackingFile file;
  file.fd = std::move(*opened);
  int is_protected = 0;
  if (block_device && mode == OpenMode::read_write &&
      ioctl(file.fd.get(), BLKROGET, &is_protected) == 0 && is_protected != 0) {
    return Error(Errc::read_only, fmt::format("{} is a device that may only be read", path));
  }
  // A shared lock for readers, so that several may look at a stopped volume at once.
  auto lock = StorageLock::take(
      file.fd.get(), path,
      mode == OpenMode::read_only ? StorageLock::Mode::shared : StorageLock::Mode::exclusive,
      StorageMap(), patience);
  if (!lock) return std::move(lock).error();
  file.lock = std::move(*lock);
  return file;
}

Result<std::uint64_t> size_of_backing_store(int fd, const std::string& path) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return errno_error(errno, fmt::format("cannot examine {}", path));
  if (S_ISREG(status.st_mode)) return static_cast<std::uint64_t>(status.st_size);
  std::uint64_t size = 0;
  if (ioctl(fd, BLKGETSIZE64, &size) != 0) {
    return errno_error(errno, fmt::format("cannot find the size of {}", path));
  }
  return size;
}

Result<std::unique_ptr<FileDevice>> FileDevice::open(UringLoop& loop, const std::string& path,
                                                     OpenMode mode) {
  std::unique_ptr<FileDevice> device(new FileDevice(loop, path, mode));
  auto opened = device->reopen();
  if (!opened) return std::move(opened).error();
  return device;
}

Result<std::unique_ptr<FileDevice>> FileDevice::adopt(UringLoop& loop, BackingFile file,
                                                      const std::string& path, OpenMode mode) {
  std::unique_ptr<FileDevice> device(new FileDevice(loop, path, mode));
  auto taken = device->take(std::move(file));
  if (!taken) return std::move(taken).error();
  return device;
}

Result<void> FileDevice::reopen() {
  auto file = open_backing_store(path_, mode_);
  if (!file) return std::move(file).error();
  return take(std::move(*file));
}

Result<void> FileDevice::take(BackingFile file) {
  const int fd = file.fd.get();
  auto size = size_of_backing_store(fd, path_);
  if (!size) return std::move(size).error();
  const int flags = fcntl(fd, F_GETFL);
  const bool is_direct = flags >= 0 && fcntl(fd, F_SETFL, flags | O_DIRECT) == 0;
  if (is_direct && *size >= kBlockSize) {
    // Some file systems take the flag and fail at the first transfer.
    alignas(kBlockSize) std::byte probe[kBlockSize];
    if (pread(fd, probe, sizeof probe, 0) != static_cast<ssize_t>(sizeof probe)) {
      fcntl(fd, F_SETFL, flags);
    }
  }
  in_memory_ = is_file_in_memory(fd);
  file_ = std::move(file);
  size_ = *size;
  return {};
}

FileDevice::FileDevice(UringLoop& loop, std::string path, OpenMode mode)
    : loop_(loop),
      path_(std::move(path)),
      mode_(mode),
      transfers_(std::make_unique<ObjectPool<Transfer>>(kTransfers)) {}

FileDevice::~FileDevice() = default;

Result<std::uint64_t> FileDevice::look_up_size() {
  auto size = size_of_backing_store(file_.fd.get(), path_);
  if (size) size_ = *size;
  return size;
}

Result<BackingState> FileDevice::look() const {
  if (!file_.fd) return Error(Errc::busy, fmt::format("{} is not open", path_));
  return look_at_backing_store(file_.fd.get(), path_);
}

Result<BackingState> FileDevice::last_look() {
  if (!file_.fd) return look();
  if (!looker_) looker_ = std::make_unique<BackingLooker>(path_);
  // It has just been opened: its file system answers.
  if (!last_look_) last_look_ = look();
  if (auto found = looker_->take()) last_look_ = std::move(found);
  looker_->begin(file_.fd.get());
  if (*last_look_) return **last_look_;
  return last_look_->error().clone();
}

Result<void> FileDevice::release() {
  if (auto state = look(); state && state->is_removed()) {
    return Error(Errc::not_found,
                 fmt::format("{} has been removed: its data (inode {}) are there only as long as "
                             "they are in use here, so copy them first",
                             path_, state->inode));
  }
  if (looker_) looker_->forget(kLookPatience);
  last_look_.reset();
  file_ = BackingFile();
  return {};
}

Result<void> FileDevice::extend(std::uint64_t size) {
  struct stat status {};
  if (fstat(file_.fd.get(), &status) != 0) {
    return errno_error(errno, fmt::format("cannot examine {}", path_));
  }
  if (S_ISREG(status.st_mode) && static_cast<std::uint64_t>(status.st_size) < size &&
      ftruncate(file_.fd.get(), static_cast<off_t>(size)) != 0) {
    return errno_error(errno, fmt::format("cannot make {} {} bytes long", path_, size));
  }
  auto now = look_up_size();
  if (!now) return std::move(now).error();
  return Device::extend(size);
}

/// A file gets a hole, so that it stays as small as it was; a disk is told to write zeros, or to
/// forget what it has where it then reads as zeros.
bool FileDevice::zero_at_once(std::uint64_t offset, std::uint64_t length) {
  struct stat status {};
  if (fstat(file_.fd.get(), &status) != 0) return false;
  if (S_ISBLK(status.st_mode)) {
    const std::array<std::uint64_t, 2> range{offset, length};
    return ioctl(file_.fd.get(), BLKZEROOUT, range.data()) == 0;
  }
  const auto at = static_cast<off_t>(offset);
  const auto size = static_cast<off_t>(length);
  return fallocate(file_.fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, size) == 0 ||
         fallocate(file_.fd.get(), FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, at, size) == 0;
}

FileDevice::Transfer& FileDevice::take_transfer(Request& request) {
  Transfer& taken = transfers_->take();
  taken.request = &request;
  taken.done_bytes = 0;
  if (taken.device == nullptr) {
    taken.device = this;
    taken.complete = [](UringLoop::Operation& operation) {
      auto& transfer = static_cast<Transfer&>(operation);
      FileDevice& device = *transfer.device;
      if (transfer.result == -EINTR || transfer.result == -EAGAIN) {
        device.start(transfer);
        return;
      }
      if (transfer.result < 0) return device.finish(transfer, -transfer.result);
      if (transfer.request->op == Op::flush) return device.finish(transfer, 0);
      transfer.done_bytes += static_cast<std::uint64_t>(transfer.result);
      const std::uint64_t total = total_size(transfer.request->slices);
      if (transfer.done_bytes == total) return device.finish(transfer, 0);
      // No progress means the end of the file, or a device that has stopped taking bytes.
      if (transfer.result == 0) return device.finish(transfer, EIO);
      device.start(transfer);
    };
  }
  return taken;
}

/// False if it has to be done in the way of other files: it came back short, or failed.
bool FileDevice::transfer_at_once(const Request& request) const {
  if (request.op == Op::flush) return true;
  const auto count = static_cast<int>(request.slices.size());
  const auto offset = static_cast<off_t>(request.offset);
  const ssize_t done = request.op == Op::read
                           ? preadv(file_.fd.get(), request.slices.data(), count, offset)
                           : pwritev(file_.fd.get(), request.slices.data(), count, offset);
  return done >= 0 && static_cast<std::uint64_t>(done) == total_size(request.slices);
}

void FileDevice::submit(Request& request) {
  meter_.begin(kind_of(request.op), total_size(request.slices));
  if (in_memory_) {
    if (request.may_be_shared && batches_ != nullptr && batches_->wants_next()) {
      share(request);
      return;
    }
    if (transfer_at_once(request)) {
      meter_.end();
      request.done = true;
      return;
    }
  }
  start(take_transfer(request));
}

void FileDevice::share(Request& request) {
  Transfer& transfer = take_transfer(request);
  transfer.work = [](WorkBatches::Piece& piece) {
    auto& shared = static_cast<Transfer&>(piece);
    shared.is_made = shared.device->transfer_at_once(*shared.request);
  };
  transfer.back = [](WorkBatches::Piece& piece) {
    auto& shared = static_cast<Transfer&>(piece);
    if (shared.is_made) return shared.device->finish(shared, 0);
    shared.device->start(shared);
  };
  batches_->add(transfer);
}

void FileDevice::start(Transfer& transfer) {
  const Request& request = *transfer.request;
  if (request.op == Op::flush) {
    loop_.submit(transfer, [&](io_uring_sqe* sqe) {
      io_uring_prep_fsync(sqe, file_.fd.get(), IORING_FSYNC_DATASYNC);
    });
    return;
  }
  std::span<const iovec> slices = request.slices;
  if (transfer.done_bytes > 0) {
    transfer.rest.clear();
    std::uint64_t skip = transfer.done_bytes;
    for (iovec slice : request.slices) {
      const std::uint64_t skipped = std::min<std::uint64_t>(skip, slice.iov_len);
      skip -= skipped;
      if (skipped == slice.iov_len) continue;
      slice.iov_base = static_cast<std::byte*>(slice.iov_base) + skipped;
      slice.iov_len -= skipped;
      transfer.rest.push_back(slice);
    }
    slices = transfer.rest;
  }
  const std::uint64_t offset = request.offset + transfer.done_bytes;
  loop_.submit(transfer, [&](io_uring_sqe* sqe) {
    const auto count = static_cast<unsigned>(slices.size());
    if (request.op == Op::read) {
      io_uring_prep_readv(sqe, file_.fd.get(), slices.data(), count, offset);
    } else {
      io_uring_prep_writev2(sqe, file_.fd.get(), slices.data(), count, offset,
                            request.durability == Durability::fua ? RWF_DSYNC : 0);
    }
  });
}

void FileDevice::finish(Transfer& transfer, int error) {
  Request& request = *transfer.request;
  request.error = error;
  if (error != 0) {
    meter_.fail(kind_of(request.op), is_no_room(error));
    if (on_failure_) on_failure_({request.op, request.offset, total_size(request.slices), error});
  }
  meter_.end();
  transfers_->give(transfer);
  loop_.post(request.waiter);
}

}  // namespace uvdo
