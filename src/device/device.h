// SPDX-License-Identifier: GPL-2.0-or-later
// Requests to a device, which is a flat array of bytes with a write cache that may be volatile.
// What else there is to know and to do about a store is in device/backing_store.h.
//
// What who makes requests keeps to, and what a device promises:
//  - Alignment: offsets, lengths and addresses of buffers are multiples of 4096. The range lies on
//    the device. Two requests that change one place, or one that changes it and one that reads it,
//    are not under way at the same time, unless who reads can do with either content.
//  - Thread: a device belongs to one thread, that of its executor. Requests are made there and
//    answered there: inside submit(), or by way of the executor.
//  - Lifetime: the request, its slices and the buffers stay until it is answered. What a write is
//    made of does not change before.
//  - Answers: a request is done as a whole or fails. After a write that failed, any of its sectors
//    (512 bytes) may have the new content.
//  - Stable when answered: a write is seen by all later reads, and no more. It survives a power cut
//    if a flush that was submitted after its answer has succeeded, or if it was written with
//    Durability::fua, then alone of all writes. Until then any of its sectors may be lost, and
//    later writes survive without earlier ones. Discards and write_zeroes are writes in this. After
//    a flush that failed nobody knows what became of the writes that it should have covered.
//  - Optimal sizes: 4096 bytes are enough; who has neighbours makes one request of them, of which
//    more than 1 MiB brings nothing. Order and number of what is under way are the caller's.
//  - Devices that cannot discard, or cannot zero by themselves, fail such a request with EOPNOTSUPP
//    (Errc::unsupported), at any time: discarding is left alone then, and zeros have to be written.
//    A disk may write the zeros itself, which takes its time.
#pragma once

#include <coroutine>
#include <cstdint>
#include <span>
#include <string>

#include <sys/uio.h>

#include "base/bytes.h"
#include "base/result.h"

namespace uvdo {

/// Whether a write must be durable before it is answered.
enum class Durability : std::uint8_t { cached, fua };

/// The bytes of all slices together.
[[nodiscard]] inline std::uint64_t total_size(std::span<const iovec> slices) {
  std::uint64_t total = 0;
  for (const iovec& slice : slices) total += slice.iov_len;
  return total;
}

class Device {
 public:
  enum class Op : std::uint8_t {
    read,
    write,
    flush,         ///< makes every write that was answered before it durable
    discard,       ///< nobody needs what is there; it reads as anything until it is written again
    write_zeroes,  ///< it reads as zeros, which takes less than to write them
  };
  static constexpr std::size_t kOps = 5;

  /// One request. It lives in the frame of the coroutine that awaits it, together with the buffers
  /// and the array of slices.
  struct Request {
    Op op{};
    Durability durability = Durability::cached;  ///< of a write
    std::uint64_t offset = 0;                    ///< bytes
    std::uint64_t length = 0;                    ///< bytes; those of the slices, where it has some
    std::span<const iovec> slices{};             ///< of a read or write
    bool may_be_shared = false;  ///< a read, which another thread may make (share_reads())
    int error = 0;               ///< errno when done; 0 is success
    bool done = false;           ///< set by submit() if the request completed at once
    std::coroutine_handle<> waiter{};
    Request* next = nullptr;  ///< for a device that keeps requests for later

    /// Whether it changes what is on the device.
    [[nodiscard]] bool changes() const { return op != Op::read && op != Op::flush; }
  };

  Device() = default;
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  virtual ~Device() = default;

  /// Starts `request`. It either completes inside the call (`done` is set), or later: then
  /// `waiter` is resumed by the executor.
  virtual void submit(Request& request) = 0;
  /// What people call it: a path.
  [[nodiscard]] virtual const std::string& name() const = 0;

  class [[nodiscard]] Awaiter {
   public:
    Awaiter(Device& device, Op op, std::uint64_t offset, iovec slice, Durability durability)
        : Awaiter(device, op, offset, slice.iov_len) {
      slice_ = slice;
      request_.durability = durability;
      single_ = true;
    }
    Awaiter(Device& device, Op op, std::uint64_t offset, std::span<const iovec> slices,
            Durability durability)
        : Awaiter(device, op, offset, total_size(slices)) {
      request_.slices = slices;
      request_.durability = durability;
    }
    Awaiter(Device& device, Op op, std::uint64_t offset, std::uint64_t length) : device_(device) {
      request_.op = op;
      request_.offset = offset;
      request_.length = length;
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
      return request_error(request_, device_.name());
    }

   private:
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
  Awaiter flush() { return {*this, Op::flush, 0, 0}; }
  Awaiter discard(std::uint64_t offset, std::uint64_t length) {
    return {*this, Op::discard, offset, length};
  }
  Awaiter write_zeroes(std::uint64_t offset, std::uint64_t length) {
    return {*this, Op::write_zeroes, offset, length};
  }

 protected:
  /// Requests that were made of this very device and that somebody awaits still.
  [[nodiscard]] std::uint64_t awaited() const { return awaited_; }
  /// While watched, came_back() is called for each that ends.
  void watch(bool on) { is_watched_ = on; }
  virtual void came_back() {}

 private:
  [[nodiscard]] static Error request_error(const Request& request, const std::string& name);
  std::uint64_t awaited_ = 0;
  bool is_watched_ = false;
};

/// What was asked for, in words ("write of 4096 bytes at byte 0 of /dev/sdb").
[[nodiscard]] std::string request_text(Device::Op op, std::uint64_t offset, std::uint64_t length,
                                       const std::string& name);

}  // namespace uvdo
