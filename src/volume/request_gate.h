// SPDX-License-Identifier: GPL-2.0-or-later
// Where requests of clients enter a volume: they can be held there, and it is known when none is
// under way. Who is held waits in its own frame; how many there can be is the front end's business.
//
//   const RequestPass pass = co_await gate.enter();
//   if (!pass) co_return Entrance::refused();
#pragma once

#include <coroutine>
#include <cstdint>
#include <optional>
#include <utility>

#include "async/task.h"
#include "async/wait_queue.h"

namespace uvdo {

class RequestPass;

class RequestGate {
 public:
  explicit RequestGate(Executor& executor) : opened_(executor), left_(executor) {}

  /// Holds those that come from now on; returns when none is under way. False if it was opened
  /// before that, for reads or altogether.
  Task<bool> close() {
    state_ = State::closed;
    while (under_way_ > 0 && is_closed()) co_await left_.wait();
    co_return is_closed();
  }
  void open() { enter(State::open); }
  /// Where it is closed, lets those in that only read; the others wait for open().
  void open_for_reads() {
    if (is_closed()) enter(State::open_for_reads);
  }
  /// Instead of open(): who was held, and who comes later, is refused.
  void abandon() { enter(State::abandoned); }

  /// Returns when none is under way, whoever may come next; of one that is abandoned, when those
  /// who were held have gone as well.
  Task<void> drain() {
    while (under_way_ > 0 || (state_ == State::abandoned && held_ > 0)) co_await left_.wait();
  }

  [[nodiscard]] bool is_open() const { return state_ == State::open; }
  /// Whether nobody is let in.
  [[nodiscard]] bool is_closed() const { return state_ == State::closed; }
  class Entry;
  /// co_await: the pass of a request, when the gate is open; one that is none if that will never
  /// be. Where it is open nothing is waited for, and no coroutine made.
  [[nodiscard]] Entry enter();
  /// The same for who only reads.
  [[nodiscard]] Entry enter_to_read();
  [[nodiscard]] std::uint64_t under_way() const { return under_way_; }

 private:
  friend class RequestPass;
  enum class State : std::uint8_t { open, open_for_reads, closed, abandoned };
  Task<bool> wait() {
    ++held_;
    while (is_closed() || state_ == State::open_for_reads) co_await opened_.wait();
    let_go();
    co_return is_open();
  }
  Task<bool> wait_to_read() {
    ++held_;
    while (is_closed()) co_await opened_.wait();
    let_go();
    co_return state_ != State::abandoned;
  }
  void let_go() {
    if (--held_ == 0) left_.wake_all();
  }
  void enter(State state) {
    state_ = state;
    opened_.wake_all();
    left_.wake_all();  // close() is over
  }
  State state_ = State::open;
  std::uint64_t under_way_ = 0;
  std::uint64_t held_ = 0;
  WaitQueue opened_;
  WaitQueue left_;
};

/// A request under way, for the length of a scope; or, of one that was refused, nothing.
class RequestPass {
 public:
  /// Of who need not be let in: it is only known to be under way.
  explicit RequestPass(RequestGate& gate) : RequestPass(&gate) {}
  RequestPass(const RequestPass&) = delete;
  RequestPass& operator=(const RequestPass&) = delete;
  ~RequestPass() {
    if (gate_ != nullptr && --gate_->under_way_ == 0 && !gate_->left_.empty()) {
      gate_->left_.wake_all();
    }
  }
  /// Whether it was let in.
  [[nodiscard]] explicit operator bool() const { return gate_ != nullptr; }

 private:
  friend class RequestGate::Entry;
  explicit RequestPass(RequestGate* gate) : gate_(gate) {
    if (gate_ != nullptr) ++gate_->under_way_;
  }
  RequestGate* gate_;
};

/// What enter() is awaited by.
class [[nodiscard]] RequestGate::Entry {
 public:
  [[nodiscard]] bool await_ready() const { return gate_.is_open(); }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiter) {
    held_.emplace(reads_ ? gate_.wait_to_read() : gate_.wait());
    return std::move(*held_).operator co_await().await_suspend(waiter);
  }
  [[nodiscard]] RequestPass await_resume() {
    const bool is_let_in = !held_ || std::move(*held_).operator co_await().await_resume();
    return RequestPass(is_let_in ? &gate_ : nullptr);
  }

 private:
  friend class RequestGate;
  Entry(RequestGate& gate, bool reads) : gate_(gate), reads_(reads) {}
  RequestGate& gate_;
  bool reads_;
  std::optional<Task<bool>> held_;  // while the gate is not open
};

inline RequestGate::Entry RequestGate::enter() { return {*this, false}; }
inline RequestGate::Entry RequestGate::enter_to_read() { return {*this, true}; }

}  // namespace uvdo
