// SPDX-License-Identifier: GPL-2.0-or-later
// The backing store. A device is a flat array of bytes with a write cache that may be volatile:
// what is written is durable only after a later flush, or if it was written with FUA.
#pragma once

#include <coroutine>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include <sys/uio.h>

#include "base/bytes.h"
#include "base/result.h"

namespace uvdo {

class WorkBatches;

/// Whether a write must be durable before it is answered.
enum class Durability : std::uint8_t { cached, fua };

class Device {
 public:
  enum class Op : std::uint8_t { read, write, flush };

  /// One request. It lives in the frame of the coroutine that awaits it, together with the buffers
  /// and the array of slices, which must stay until it has completed.
  struct Request {
    Op op{};
    Durability durability = Durability::cached;
    std::uint64_t offset = 0;  ///< bytes
    std::span<const iovec> slices{};
    bool may_be_shared = false;  ///< a read, which another thread may make (see share_reads())
    int error = 0;               ///< errno when done; 0 is success
    bool done = false;           ///< set by submit() if the request completed at once
    std::coroutine_handle<> waiter{};
    Request* next = nullptr;  ///< for a device that keeps requests for later
  };

  Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  virtual ~Device() = default;

  /// Starts `request`. It either completes inside the call (`done` is set), or later: then
  /// `waiter` is resumed by the executor. A request transfers all of its bytes or fails.
  virtual void submit(Request& request) = 0;
  /// Bytes.
  [[nodiscard]] virtual std::uint64_t size() const = 0;
  /// From now on a device in memory, of which a read is but a copy, has a share of the reads that
  /// may be shared made by a work thread; with nullptr, no longer. Others let the kernel read.
  virtual void share_reads(WorkBatches* batches) { static_cast<void>(batches); }
  /// Looks at the backing store anew: it may have become larger since it was opened.
  virtual Result<std::uint64_t> look_up_size() { return size(); }
  /// Sees to it that there are `size` bytes at least: a file is made longer, everything else must
  /// have them. no_space: it has not.
  virtual Result<void> extend(std::uint64_t size);
  /// Makes a range read as zeros without writing them, where that can be done; like a write, it is
  /// durable after a later flush. Nothing else may be under way there. False: it may hold anything
  /// now, and has to be written. (offset and length: bytes, whole blocks.)
  [[nodiscard]] virtual bool zero_at_once([[maybe_unused]] std::uint64_t offset,
                                          [[maybe_unused]] std::uint64_t length) {
    return false;
  }
  /// Lets go of the backing store, so that others may use or replace it. Nothing may be under way,
  /// and nothing be asked for until reopen(). not_found: it would be gone then; it is still open.
  virtual Result<void> release() { return {}; }
  /// Opens what is in its place now. busy, not_found, ...: it is still let go of.
  virtual Result<void> reopen() { return {}; }
  /// What people call it: a path.
  [[nodiscard]] virtual const std::string& name() const = 0;

  class [[nodiscard]] Awaiter {
   public:
    Awaiter(Device& device, Op op, std::uint64_t offset, iovec slice, Durability durability)
        : device_(device), slice_(slice) {
      request_.op = op;
      request_.offset = offset;
      request_.durability = durability;
      single_ = true;
    }
    Awaiter(Device& device, Op op, std::uint64_t offset, std::span<const iovec> slices,
            Durability durability)
        : device_(device) {
      request_.op = op;
      request_.offset = offset;
      request_.slices = slices;
      request_.durability = durability;
    }
    /// Of a read, where nobody writes until it ends: it may be shared, if there are many.
    void allow_sharing() { request_.may_be_shared = true; }
    bool await_ready() {
      if (single_) request_.slices = {&slice_, 1};
      ++device_.awaited_;
      device_.submit(request_);
      return request_.done;
    }
    void await_suspend(std::coroutine_handle<> handle) { request_.waiter = handle; }
    Result<void> await_resume() const {
      --device_.awaited_;
      if (device_.is_watched_) device_.came_back();
      if (request_.error == 0) return {};
      return failure();
    }

   private:
    [[nodiscard]] Error failure() const;
    Device& device_;
    Request request_;
    iovec slice_{};
    bool single_ = false;
  };

  /// co_await device.read(offset, buffer): fills `buffer` from byte `offset` on.
  Awaiter read(std::uint64_t offset, MutableBytes buffer) {
    return {*this, Op::read, offset, iovec{buffer.data(), buffer.size()}, Durability::cached};
  }
  Awaiter readv(std::uint64_t offset, std::span<const iovec> slices) {
    return {*this, Op::read, offset, slices, Durability::cached};
  }
  Awaiter write(std::uint64_t offset, ConstBytes data, Durability durability = Durability::cached) {
    return {*this, Op::write, offset, iovec{const_cast<std::byte*>(data.data()), data.size()},
            durability};
  }
  Awaiter writev(std::uint64_t offset, std::span<const iovec> slices,
                 Durability durability = Durability::cached) {
    return {*this, Op::write, offset, slices, durability};
  }
  /// Makes every write that completed before this call durable.
  Awaiter flush() { return {*this, Op::flush, 0, std::span<const iovec>{}, Durability::cached}; }

 protected:
  /// Requests that were made of this very device and that somebody awaits still.
  [[nodiscard]] std::uint64_t awaited() const { return awaited_; }
  /// While watched, came_back() is called for each that ends.
  void watch(bool on) { is_watched_ = on; }
  virtual void came_back() {}

 private:
  std::uint64_t awaited_ = 0;
  bool is_watched_ = false;
};

/// The bytes of all slices together.
[[nodiscard]] inline std::uint64_t total_size(std::span<const iovec> slices) {
  std::uint64_t total = 0;
  for (const iovec& slice : slices) total += slice.iov_len;
  return total;
}

}  // namespace uvdo
