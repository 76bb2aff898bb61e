// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/hold_gate.h"

#include <cerrno>

namespace uvdo {

void HoldGate::submit(Request& request) {
  switch (state_) {
    case State::open: device_.submit(request); return;
    case State::closed:
      request.next = nullptr;
      *last_held_ = &request;
      last_held_ = &request.next;
      ++held_count_;
      return;
    case State::abandoned:
      request.error = ECANCELED;
      request.done = true;
      return;
  }
}

Task<void> HoldGate::close() {
  state_ = State::closed;
  watch(true);
  // Those that are held are awaited as well; all others have to come back first.
  while (state_ == State::closed && awaited() > held_count_) co_await returned_.wait();
  watch(false);
}

Device::Request* HoldGate::take_held() {
  Request* request = held_;
  if (request == nullptr) return nullptr;
  held_ = request->next;
  if (held_ == nullptr) last_held_ = &held_;
  --held_count_;
  return request;
}

void HoldGate::open() {
  state_ = State::open;
  returned_.wake_all();
  while (Request* request = take_held()) {
    // Who asked waits already, and must not run inside of this call.
    const auto waiter = request->waiter;
    device_.submit(*request);
    if (request->done) executor_.post(waiter);
  }
}

void HoldGate::abandon() {
  state_ = State::abandoned;
  while (Request* request = take_held()) {
    request->error = ECANCELED;
    executor_.post(request->waiter);
  }
}

}  // namespace uvdo
