// SPDX-License-Identifier: GPL-2.0-or-later
// Places where coroutines of one thread wait for each other: WaitQueue (a condition), Event,
// Mutex, Semaphore, TaskGroup. Waiters are links in their own frames: waiting allocates nothing.
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "async/alarm.h"
#include "async/executor.h"

namespace uvdo {

/// Coroutines waiting for a condition, in order of arrival. As with a condition variable, who is
/// woken looks again: `while (!ready) co_await queue.wait();`
class WaitQueue {
 public:
  explicit WaitQueue(Executor& executor) : executor_(executor) {}
  WaitQueue(const WaitQueue&) = delete;
  WaitQueue& operator=(const WaitQueue&) = delete;
  ~WaitQueue() { check(head_ == nullptr, "a wait queue was destroyed with waiters in it"); }

  struct Awaiter {
    explicit Awaiter(WaitQueue& owner) : queue(owner) {}
    WaitQueue& queue;
    Awaiter* next = nullptr;
    std::coroutine_handle<> handle{};
    static bool await_ready() noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiter) noexcept {
      handle = waiter;
      *queue.tail_ = this;
      queue.tail_ = &next;
    }
    static void await_resume() noexcept {}
  };
  [[nodiscard]] Awaiter wait() { return Awaiter(*this); }

  /// Makes who has waited longest ready; he goes on from the executor, not inside the call.
  void wake_one() {
    if (head_ == nullptr) return;
    Awaiter* first = head_;
    head_ = first->next;
    if (head_ == nullptr) tail_ = &head_;
    executor_.post(first->handle);
  }
  /// The same for all who wait now. Who begins to wait meanwhile is not among them.
  void wake_all() {
    Awaiter* waiter = std::exchange(head_, nullptr);
    tail_ = &head_;
    while (waiter != nullptr) {
      Awaiter* next = waiter->next;
      executor_.post(waiter->handle);
      waiter = next;
    }
  }
  [[nodiscard]] bool empty() const { return head_ == nullptr; }
  [[nodiscard]] Executor& executor() const { return executor_; }

 private:
  Executor& executor_;
  Awaiter* head_ = nullptr;
  Awaiter** tail_ = &head_;
};

/// Something that happens once: co_await event.wait() returns at once from then on.
class Event {
 public:
  explicit Event(Executor& executor) : waiters_(executor) {}
  void set() {
    set_ = true;
    waiters_.wake_all();
  }
  [[nodiscard]] bool is_set() const { return set_; }
  /// co_await: suspends nobody once it is set.
  auto wait() {
    struct Awaiter : WaitQueue::Awaiter {
      bool ready;
      [[nodiscard]] bool await_ready() const noexcept { return ready; }
    };
    return Awaiter{WaitQueue::Awaiter(waiters_), set_};
  }

 private:
  WaitQueue waiters_;
  bool set_ = false;
};

/// A counter of things to be had, given to waiters strictly in order of arrival, so that a large
/// demand is not starved by small ones.
class Semaphore {
 public:
  Semaphore(Executor& executor, std::uint64_t available)
      : executor_(executor), available_(available) {}
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;
  ~Semaphore() { check(head_ == nullptr, "a semaphore was destroyed with waiters"); }

  struct Awaiter {
    Awaiter(Semaphore& owner, std::uint64_t demand) : semaphore(owner), count(demand) {}
    Semaphore& semaphore;
    std::uint64_t count;
    Awaiter* next = nullptr;
    std::coroutine_handle<> handle{};
    [[nodiscard]] bool await_ready() const { return semaphore.try_acquire(count); }
    void await_suspend(std::coroutine_handle<> waiter) noexcept {
      handle = waiter;
      *semaphore.tail_ = this;
      semaphore.tail_ = &next;
    }
    static void await_resume() noexcept {}
  };
  /// co_await semaphore.acquire(n): takes n, waiting until they are there.
  [[nodiscard]] Awaiter acquire(std::uint64_t count = 1) { return {*this, count}; }
  /// Takes `count` if they are there and nobody waits.
  [[nodiscard]] bool try_acquire(std::uint64_t count = 1) {
    if (head_ != nullptr || available_ < count) return false;
    available_ -= count;
    return true;
  }
  /// Gives back, or adds; who waits has them before it goes on, so that nobody takes them away.
  void release(std::uint64_t count = 1) {
    available_ += count;
    while (head_ != nullptr && available_ >= head_->count) {
      Awaiter* first = head_;
      head_ = first->next;
      if (head_ == nullptr) tail_ = &head_;
      available_ -= first->count;
      executor_.post(first->handle);
    }
  }
  [[nodiscard]] std::uint64_t available() const { return available_; }
  /// Whether somebody waits, for more than there is or behind who does.
  [[nodiscard]] bool has_waiters() const { return head_ != nullptr; }

 private:
  Executor& executor_;
  std::uint64_t available_;
  Awaiter* head_ = nullptr;
  Awaiter** tail_ = &head_;
};

/// Coroutines that run by themselves and whose end can be awaited.
class TaskGroup {
 public:
  explicit TaskGroup(Executor& executor) : idle_(executor) {}
  /// Starts `task` now, until it first waits.
  void start(Task<void> task) {
    ++running_;
    run(*this, std::move(task));
  }
  /// Tasks that have not ended yet.
  [[nodiscard]] std::size_t running() const { return running_; }
  /// Waits until none runs.
  Task<void> wait() {
    while (running_ != 0) co_await idle_.wait();
  }

 private:
  static detail::Detached run(TaskGroup& group, Task<void> task) {
    co_await std::move(task);
    if (--group.running_ == 0) group.idle_.wake_all();
  }
  WaitQueue idle_;
  std::size_t running_ = 0;
};

}  // namespace uvdo
