// SPDX-License-Identifier: GPL-2.0-or-later
// A device whose requests can be held back: between close() and open() nothing reaches what is
// behind it, whoever asks. Holding takes no memory, the requests themselves are the list.
#pragma once

#include <cstdint>
#include <string>

#include "async/wait_queue.h"
#include "device/device.h"

namespace uvdo {

class HoldGate final : public Device {
 public:
  HoldGate(Executor& executor, Device& device)
      : executor_(executor), device_(device), returned_(executor) {}

  void submit(Request& request) override;
  [[nodiscard]] const std::string& name() const override { return device_.name(); }

  /// Holds all requests from now on; returns when those under way have come back, or open() was
  /// called.
  Task<void> close();
  [[nodiscard]] bool is_closed() const { return state_ != State::open; }
  /// Lets the requests that were held go on, in their order.
  void open();
  /// Instead of open(): they fail with ECANCELED, and so do all that come later.
  void abandon();

 private:
  enum class State : std::uint8_t { open, closed, abandoned };
  void came_back() override { returned_.wake_all(); }
  Request* take_held();

  Executor& executor_;
  Device& device_;
  WaitQueue returned_;
  State state_ = State::open;
  Request* held_ = nullptr;
  Request** last_held_ = &held_;
  std::uint64_t held_count_ = 0;
};

}  // namespace uvdo
