// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/flush_gate.h"

#include <cerrno>
#include <utility>

namespace uvdo {

void FlushGate::submit(Request& request) {
  if (request.op != Op::flush) {
    device_.submit(request);
    return;
  }
  request.next = nullptr;
  *last_waiting_ = &request;
  last_waiting_ = &request.next;
  // A flush under way does not cover what was written since it began: another one follows it.
  if (running_) return;
  submitting_ = true;
  spawn(flush_waiting());
  submitting_ = false;
}

Task<void> FlushGate::flush_waiting() {
  running_ = true;
  while (waiting_ != nullptr) {
    Request* request = std::exchange(waiting_, nullptr);
    last_waiting_ = &waiting_;
    // After a failure nobody knows what is stable: no later flush may say that all is.
    if (!failed_) {
      auto done = co_await device_.flush();
      if (!done) failed_ = true;
    }
    while (request != nullptr) {
      Request* next = request->next;
      request->error = failed_ ? EIO : 0;
      // Who asked is still inside submit().
      if (submitting_) {
        request->done = true;
      } else {
        executor_.post(request->waiter);
      }
      request = next;
    }
  }
  running_ = false;
}

}  // namespace uvdo
