// SPDX-License-Identifier: GPL-2.0-or-later
// A device as a volume sees it: one flush at a time, shared by all who asked for it meanwhile, and
// none ever succeeds after one that failed. The kernel reports a failed write-back once, and
// forgets what it could not write; whoever flushed at the same time, or flushes again, would take
// for durable what is lost.
#pragma once

#include <string>

#include "async/executor.h"
#include "device/device.h"

namespace uvdo {

class FlushGate final : public Device {
 public:
  FlushGate(Executor& executor, Device& device) : executor_(executor), device_(device) {}

  void submit(Request& request) override;
  [[nodiscard]] const std::string& name() const override { return device_.name(); }
  [[nodiscard]] bool has_failed() const { return failed_; }

 private:
  Task<void> flush_waiting();

  Executor& executor_;
  Device& device_;
  Request* waiting_ = nullptr;
  Request** last_waiting_ = &waiting_;
  bool running_ = false;
  bool submitting_ = false;  // the one who asks has not been suspended yet
  bool failed_ = false;
};

}  // namespace uvdo
