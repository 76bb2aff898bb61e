// SPDX-License-Identifier: GPL-2.0-or-later
// Where requests of clients enter a volume: they can be held there, and it is known when none is
// under way. Who is held waits in its own frame; how many there can be is the front end's business.
#pragma once

#include <cstdint>

#include "async/wait_queue.h"

namespace uvdo {

/// Who passes holds a RequestPass as long as it is under way. Between a wait() that says true and
/// the pass there must be no other wait.
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
  /// Waits until the gate is open; false if that will never be.
  Task<bool> wait() {
    ++held_;
    while (is_closed() || state_ == State::open_for_reads) co_await opened_.wait();
    let_go();
    co_return is_open();
  }
  /// The same for who only reads.
  Task<bool> wait_to_read() {
    ++held_;
    while (is_closed()) co_await opened_.wait();
    let_go();
    co_return state_ != State::abandoned;
  }
  [[nodiscard]] std::uint64_t under_way() const { return under_way_; }

 private:
  friend class RequestPass;
  enum class State : std::uint8_t { open, open_for_reads, closed, abandoned };
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

/// A request under way, for the length of a scope.
class RequestPass {
 public:
  explicit RequestPass(RequestGate& gate) : gate_(gate) { ++gate_.under_way_; }
  RequestPass(const RequestPass&) = delete;
  RequestPass& operator=(const RequestPass&) = delete;
  ~RequestPass() {
    if (--gate_.under_way_ == 0 && !gate_.left_.empty()) gate_.left_.wake_all();
  }

 private:
  RequestGate& gate_;
};

}  // namespace uvdo
