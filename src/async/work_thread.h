// SPDX-License-Identifier: GPL-2.0-or-later
// A second thread, for work that leaves the metadata alone: names of blocks, compression, the
// index. A coroutine goes there by co_await and comes back by co_await; in between it is straight
// code of the other thread, and touches nothing that belongs to the first.
#pragma once

#include <functional>
#include <memory>
#include <thread>

#include "async/uring_loop.h"
#include "async/wait_queue.h"
#include "async/work_batches.h"

namespace uvdo {

/// On its way to another thread's loop; stays in the frame of the coroutine that crosses.
class [[nodiscard]] Crossing : UringLoop::Arrival {
 public:
  /// To `loop`; nowhere if that is nullptr.
  explicit Crossing(UringLoop* loop) : loop_(loop) {}
  [[nodiscard]] bool await_ready() const noexcept { return loop_ == nullptr; }
  void await_suspend(std::coroutine_handle<> waiter) {
    handle = waiter;
    loop_->post_from_any_thread(*this);  // from here on the frame belongs to the other thread
  }
  static void await_resume() noexcept {}

 private:
  UringLoop* loop_;
};

class WorkThread {
 public:
  /// Whether this process may use more than one processor.
  [[nodiscard]] static bool is_worthwhile();
  /// Starts a thread for coroutines of `home`, which must outlive it. Errors: no thread, no ring.
  static Result<std::unique_ptr<WorkThread>> start(UringLoop& home);
  WorkThread(const WorkThread&) = delete;
  WorkThread& operator=(const WorkThread&) = delete;
  /// Ends the thread; no coroutine may be in it, nor want to go there.
  ~WorkThread();

  /// co_await thread.enter(): goes on in the thread. Who enters first arrives first.
  Crossing enter() { return Crossing(loop_.get()); }
  /// co_await thread.leave(): goes on at home.
  Crossing leave() { return Crossing(&home_); }
  /// Holds the thread asleep: what takes less than to wake it can be done at home in its place.
  /// Nothing if it is awake.
  UringLoop::Hold hold_if_asleep() { return loop_->hold_if_asleep(); }
  /// A share of many short pieces of work for the thread.
  [[nodiscard]] WorkBatches& batches() { return batches_; }
  /// Of the thread; for coroutines that are in it.
  [[nodiscard]] Executor& executor() { return *loop_; }
  /// Runs `f` in the thread, and blocks until that is done: for starting and ending things.
  void call(const std::function<void()>& f);

 private:
  explicit WorkThread(UringLoop& home) : home_(home), batches_(*this, home) {}
  UringLoop& home_;
  WorkBatches batches_;
  std::unique_ptr<UringLoop> loop_;
  std::unique_ptr<Event> ended_;  // of loop_
  std::thread thread_;
};

/// Where work is done: in a thread, or in place if there is none, as in the simulation.
class WorkPlace {
 public:
  WorkPlace() = default;
  explicit WorkPlace(WorkThread* thread) : thread_(thread) {}
  /// nullptr if there is none.
  [[nodiscard]] WorkThread* thread() const { return thread_; }
  /// co_await: goes on in the thread, if there is one.
  [[nodiscard]] Crossing enter() const {
    return thread_ != nullptr ? thread_->enter() : Crossing(nullptr);
  }
  /// co_await: goes on at home.
  [[nodiscard]] Crossing leave() const {
    return thread_ != nullptr ? thread_->leave() : Crossing(nullptr);
  }

 private:
  WorkThread* thread_ = nullptr;
};

}  // namespace uvdo
