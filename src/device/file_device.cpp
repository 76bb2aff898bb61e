// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/file_device.h"

#include <cerrno>

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/block_types.h"
#include "device/slice_list.h"

namespace uvdo {

struct FileDevice::Transfer : UringLoop::Operation, WorkBatches::Piece {
  FileDevice* device = nullptr;
  Request* request = nullptr;
  std::uint64_t done_bytes = 0;
  SliceList rest;        // what is left of a transfer that came back short
  unsigned attempt = 0;  // of fallocate_mode()
  int shared_error = 0;  // of whom it was shared with
};

namespace {

/// Transfers that may be under way at once before memory is taken for more.
constexpr std::size_t kTransfers = 4096;

/// Where a request is but a copy.
bool is_file_in_memory(int fd) {
  struct stat status {};
  struct statfs system {};
  return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && fstatfs(fd, &system) == 0 &&
         (system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC);
}

}  // namespace

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

FileDevice::FileDevice(UringLoop& loop, std::string path, OpenMode mode)
    : FileStore(std::move(path), mode),
      loop_(loop),
      transfers_(std::make_unique<ObjectPool<Transfer>>(kTransfers)) {}

FileDevice::~FileDevice() = default;

void FileDevice::prepare(int fd, std::uint64_t size) {
  const int flags = fcntl(fd, F_GETFL) & ~O_DIRECT;
  // Beside the page cache: what the volume caches would be there twice.
  const bool is_direct = flags >= 0 && fcntl(fd, F_SETFL, flags | O_DIRECT) == 0;
  if (is_direct && size >= kBlockSize) {
    // Some file systems take the flag and fail at the first transfer.
    alignas(kBlockSize) std::byte probe[kBlockSize];
    if (pread(fd, probe, sizeof probe, 0) != static_cast<ssize_t>(sizeof probe)) {
      fcntl(fd, F_SETFL, flags);
    }
  }
  // Asked of each file: after a suspension it may be another one.
  in_memory_ = is_file_in_memory(fd);
}

void FileDevice::submit(Request& request) {
  begin(request);
  if (!in_memory_) return start(take_transfer(request));
  if (request.may_be_shared && batches_ != nullptr && batches_->wants_next()) {
    return share(request);
  }
  // A flush of what is nowhere but in memory has nothing to do.
  request.error = request.op == Op::flush ? 0 : carry_out(request);
  request.done = true;
  end(request, request.error);
}

FileDevice::Transfer& FileDevice::take_transfer(Request& request) {
  Transfer& taken = transfers_->take();
  taken.request = &request;
  taken.done_bytes = 0;
  taken.attempt = 0;
  if (taken.device == nullptr) {
    taken.device = this;
    taken.complete = [](UringLoop::Operation& operation) {
      auto& transfer = static_cast<Transfer&>(operation);
      transfer.device->look_at_result(transfer);
    };
  }
  return taken;
}

void FileDevice::share(Request& request) {
  Transfer& transfer = take_transfer(request);
  transfer.work = [](WorkBatches::Piece& piece) {
    auto& shared = static_cast<Transfer&>(piece);
    shared.shared_error = shared.device->carry_out(*shared.request);
  };
  transfer.back = [](WorkBatches::Piece& piece) {
    auto& shared = static_cast<Transfer&>(piece);
    shared.device->finish(shared, shared.shared_error);
  };
  batches_->add(transfer);
}

void FileDevice::start(Transfer& transfer) {
  const Request& request = *transfer.request;
  // Also for what goes on where it was cut short, or is done another way.
  if (may_send_ && !may_send_()) return finish(transfer, EIO);
  if (request.op == Op::flush) {
    loop_.submit(transfer,
                 [&](io_uring_sqe* sqe) { io_uring_prep_fsync(sqe, fd(), IORING_FSYNC_DATASYNC); });
    return;
  }
  if (request.op == Op::discard || request.op == Op::write_zeroes) {
    const auto mode = fallocate_mode(request.op, transfer.attempt);
    if (!mode) return finish(transfer, EOPNOTSUPP);
    return start_fallocate(transfer, *mode);
  }
  // What came back short goes on where it ended.
  const std::span<const iovec> slices =
      transfer.done_bytes == 0 ? request.slices
                               : transfer.rest.behind(request.slices, transfer.done_bytes);
  const std::uint64_t offset = request.offset + transfer.done_bytes;
  loop_.submit(transfer, [&](io_uring_sqe* sqe) {
    const auto count = static_cast<unsigned>(slices.size());
    if (request.op == Op::read) {
      io_uring_prep_readv(sqe, fd(), slices.data(), count, offset);
    } else {
      io_uring_prep_writev2(sqe, fd(), slices.data(), count, offset,
                            request.durability == Durability::fua ? RWF_DSYNC : 0);
    }
  });
}

void FileDevice::start_fallocate(Transfer& transfer, int mode) {
  const Request& request = *transfer.request;
  loop_.submit(transfer, [&](io_uring_sqe* sqe) {
    io_uring_prep_fallocate(sqe, fd(), mode, static_cast<off_t>(request.offset),
                            static_cast<off_t>(request.length));
  });
}

void FileDevice::look_at_result(Transfer& transfer) {
  const Request& request = *transfer.request;
  if (transfer.result == -EINTR || transfer.result == -EAGAIN) return start(transfer);
  const bool is_transfer = request.op == Op::read || request.op == Op::write;
  if (!is_transfer && request.op != Op::flush && transfer.result < 0 &&
      cannot_be_done(-transfer.result)) {
    // This way it cannot be done here: the next one, if there is one.
    ++transfer.attempt;
    return start(transfer);
  }
  if (transfer.result < 0) return finish(transfer, -transfer.result);
  if (!is_transfer) return finish(transfer, 0);
  transfer.done_bytes += static_cast<std::uint64_t>(transfer.result);
  if (transfer.done_bytes == request.length) return finish(transfer, 0);
  // No progress means the end of the file, or a device that has stopped taking bytes.
  if (transfer.result == 0) return finish(transfer, EIO);
  start(transfer);
}

void FileDevice::finish(Transfer& transfer, int error) {
  Request& request = *transfer.request;
  request.error = error;
  end(request, error);
  transfers_->give(transfer);
  // The transfer may be used again before who waited goes on.
  loop_.post(request.waiter);
}

}  // namespace uvdo
