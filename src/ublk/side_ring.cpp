// SPDX-License-Identifier: GPL-2.0-or-later
#include "ublk/side_ring.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <poll.h>

#include "base/check.h"

namespace uvdo {
namespace {

/// How long the kernel is left alone when it has no room for more.
constexpr Duration kPause = std::chrono::milliseconds(1);
/// An entry in the usual size; a wide one has two of them.
constexpr std::size_t kEntryBytes = 64;
constexpr unsigned kFewest = 8;

}  // namespace

Result<std::unique_ptr<SideRing>> SideRing::create(UringLoop& loop, unsigned entries,
                                                   EntrySize size) {
  std::unique_ptr<SideRing> ring(new SideRing(loop));
  io_uring_params parameters{};
  // What completes waits until the thread enters the kernel, as it does to wait in the loop.
  parameters.flags = IORING_SETUP_COOP_TASKRUN;
  if (size == EntrySize::wide) parameters.flags |= IORING_SETUP_SQE128;
  // An operation and a cancellation of it take an entry each.
  const int made =
      io_uring_queue_init_params(std::max(entries * 2, kFewest), &ring->ring_, &parameters);
  if (made < 0) {
    return errno_error(-made,
                       "setting up io_uring for ublk (needs Linux 6.0 or later, and a "
                       "sandbox that allows it)");
  }
  ring->is_open_ = true;
  ring->watch_.ring = ring.get();
  ring->watch_.complete = [](UringLoop::Operation& operation) {
    static_cast<Watch&>(operation).ring->on_readable();
  };
  ring->watch();
  return ring;
}

SideRing::~SideRing() { check(!is_open_, "a ring is closed before it goes"); }

io_uring_sqe* SideRing::next_entry() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  check(sqe != nullptr, "a ring has room for all operations that it was made for");
  const bool is_wide = (ring_.flags & IORING_SETUP_SQE128) != 0;
  std::memset(static_cast<void*>(sqe), 0, is_wide ? 2 * kEntryBytes : kEntryBytes);
  if (!flush_is_due_) {
    flush_is_due_ = true;
    flushes_.start(flush_at_turn_end());
  }
  return sqe;
}

void SideRing::cancel(UringLoop::Operation& operation) {
  io_uring_sqe* sqe = next_entry();
  io_uring_prep_cancel(sqe, &operation, 0);
  io_uring_sqe_set_data(sqe, nullptr);
}

void SideRing::watch() {
  loop_.submit(watch_,
               [this](io_uring_sqe* sqe) { io_uring_prep_poll_add(sqe, ring_.ring_fd, POLLIN); });
}

void SideRing::on_readable() {
  if (is_closing_) {
    unwatched_.set();
    return;
  }
  reap();
  watch();
}

Task<void> SideRing::flush_at_turn_end() {
  co_await loop_.turn_end();
  // Completions that it finds may lead to more entries, which it takes along.
  while (io_uring_sq_ready(&ring_) > 0) {
    const int submitted = io_uring_submit(&ring_);
    reap();
    if (submitted >= 0 || submitted == -EINTR) continue;
    check(submitted == -EAGAIN || submitted == -EBUSY || submitted == -ENOMEM,
          "io_uring has failed");
    co_await pause_.sleep(kPause);
  }
  flush_is_due_ = false;
}

void SideRing::reap() {
  for (unsigned left = io_uring_cq_ready(&ring_); left > 0; --left) {
    const io_uring_cqe& entry = ring_.cq.cqes[*ring_.cq.khead & ring_.cq.ring_mask];
    auto* operation =
        reinterpret_cast<UringLoop::Operation*>(static_cast<std::uintptr_t>(entry.user_data));
    const int result = entry.res;
    io_uring_cq_advance(&ring_, 1);
    if (operation == nullptr) continue;
    operation->result = result;
    if (operation->complete != nullptr) {
      operation->complete(*operation);
    } else {
      loop_.post(operation->waiter);
    }
  }
}

Task<void> SideRing::unwatch() {
  co_await flushes_.wait();
  is_closing_ = true;
  loop_.cancel(watch_);
  co_await unwatched_.wait();
  is_open_ = false;
}

Task<void> SideRing::close() {
  co_await unwatch();
  io_uring_queue_exit(&ring_);
}

Task<void> SideRing::keep_until_exit() { co_await unwatch(); }

}  // namespace uvdo
