// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/flush_gate.h"

#include <cerrno>

namespace uvdo {

void FlushGate::submit(Request& request) {
  if (request.op != Op::flush) {
    device_.submit(request);
    return;
  }
  waiting_.push_back(&request);
  // A flush under way does not cover what was written since it began: another one follows it.
  if (running_) return;
  submitting_ = true;
  spawn(flush_waiting());
  submitting_ = false;
}

Task<void> FlushGate::flush_waiting() {
  running_ = true;
  std::vector<Request*> batch;
  while (!waiting_.empty()) {
    batch.clear();
    batch.swap(waiting_);
    if (!failed_) {
      auto done = co_await device_.flush();
      if (!done) failed_ = true;
    }
    for (Request* request : batch) {
      request->error = failed_ ? EIO : 0;
      if (submitting_) {
        request->done = true;
      } else {
        executor_.post(request->waiter);
      }
    }
  }
  running_ = false;
}

}  // namespace uvdo
