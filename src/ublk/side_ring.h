// SPDX-License-Identifier: GPL-2.0-or-later
// A second io_uring of a loop's thread: for commands that need larger entries than the loop's, or
// that end only when the ring does. The loop looks after it: what is submitted in a turn goes to
// the kernel at its end, and completions are told in the loop.
#pragma once

#include <cstdint>
#include <memory>

#include <liburing.h>

#include "async/uring_loop.h"
#include "async/wait_queue.h"
#include "base/result.h"

namespace uvdo {

class SideRing {
 public:
  enum class EntrySize : std::uint8_t {
    usual,  ///< 64 bytes
    wide,   ///< 128 bytes
  };

  /// For at most `entries` operations at a time. Fails with a sentence if the kernel refuses.
  static Result<std::unique_ptr<SideRing>> create(UringLoop& loop, unsigned entries,
                                                  EntrySize size);
  SideRing(const SideRing&) = delete;
  SideRing& operator=(const SideRing&) = delete;
  /// close() or keep_until_exit() has ended.
  ~SideRing();

  /// Queues `operation`: `prepare` fills the entry, which is all zeros.
  template <class Prepare>
  void submit(UringLoop::Operation& operation, Prepare&& prepare) {
    io_uring_sqe* sqe = next_entry();
    prepare(sqe);
    io_uring_sqe_set_data(sqe, &operation);
  }
  /// Asks the kernel to give up `operation`; it still completes.
  void cancel(UringLoop::Operation& operation);

  /// Hands over what was submitted, then ends the ring: the kernel gives up what has not completed,
  /// and nobody is told of it.
  Task<void> close();
  /// Hands over what was submitted, and leaves the ring to the kernel until the process ends;
  /// nobody is told of what completes.
  Task<void> keep_until_exit();

 private:
  /// The loop's operation that ends when this ring has completions.
  struct Watch : UringLoop::Operation {
    SideRing* ring = nullptr;
  };

  explicit SideRing(UringLoop& loop)
      : loop_(loop), pause_(loop), flushes_(loop), unwatched_(loop) {}
  [[nodiscard]] io_uring_sqe* next_entry();
  void watch();
  /// Hands over what was submitted; the loop does not look any more.
  Task<void> unwatch();
  void on_readable();
  Task<void> flush_at_turn_end();
  void reap();

  UringLoop& loop_;
  io_uring ring_{};
  bool is_open_ = false;
  bool is_closing_ = false;
  bool flush_is_due_ = false;
  Watch watch_;
  Alarm pause_;  // of flush_at_turn_end()
  TaskGroup flushes_;
  Event unwatched_;
};

}  // namespace uvdo
