// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/memory_device.h"

#include <cerrno>
#include <cstring>

#include <fmt/core.h>
#include <sys/mman.h>

namespace uvdo {
namespace {
/// Reads that may be shared at once before memory is taken for more.
constexpr std::size_t kSharedReads = 4096;
}  // namespace

Result<std::unique_ptr<MemoryDevice>> MemoryDevice::create(std::uint64_t size) {
  // Not taken before it is written to, however large the device is.
  void* base = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return errno_error(errno, fmt::format("mapping {} bytes", size));
  madvise(base, size, MADV_HUGEPAGE);
  return std::unique_ptr<MemoryDevice>(new MemoryDevice(static_cast<std::byte*>(base), size));
}

MemoryDevice::~MemoryDevice() { munmap(base_, size_); }

void MemoryDevice::share_reads(WorkBatches* batches) {
  batches_ = batches;
  if (batches != nullptr && !shared_reads_) {
    shared_reads_ = std::make_unique<ObjectPool<SharedRead>>(kSharedReads);
  }
}

void MemoryDevice::submit(Request& request) {
  if (request.may_be_shared && batches_ != nullptr && batches_->wants_next()) {
    share(request);
    return;
  }
  request.done = true;
  carry_out(request);
}

void MemoryDevice::share(Request& request) {
  SharedRead& read = shared_reads_->take();
  read.device = this;
  read.request = &request;
  read.work = [](WorkBatches::Piece& piece) {
    const auto& copy = static_cast<SharedRead&>(piece);
    copy.device->carry_out(*copy.request);
  };
  read.back = [](WorkBatches::Piece& piece) {
    auto& copy = static_cast<SharedRead&>(piece);
    copy.device->batches_->home().post(copy.request->waiter);
    copy.device->shared_reads_->give(copy);
  };
  batches_->add(read);
}

void MemoryDevice::carry_out(Request& request) const {
  if (request.op == Op::flush) return;
  if (request.offset > size_ || request.length > size_ - request.offset) {
    request.error = EIO;
    return;
  }
  std::byte* at = base_ + request.offset;
  switch (request.op) {
    case Op::read:
      for (const iovec& slice : request.slices) {
        std::memcpy(slice.iov_base, at, slice.iov_len);
        at += slice.iov_len;
      }
      break;
    case Op::write:
      for (const iovec& slice : request.slices) {
        std::memcpy(at, slice.iov_base, slice.iov_len);
        at += slice.iov_len;
      }
      break;
    // The memory of what is discarded is given back; that of zeros will be used.
    case Op::discard: madvise(at, request.length, MADV_DONTNEED); break;
    case Op::write_zeroes: std::memset(at, 0, request.length); break;
    case Op::flush: break;
  }
}

}  // namespace uvdo
