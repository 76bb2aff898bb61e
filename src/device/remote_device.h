// SPDX-License-Identifier: GPL-2.0-or-later
// A device as the work thread sees it: its requests are carried out at home, where the device is.
#pragma once

#include "async/work_thread.h"
#include "device/device.h"

namespace uvdo {

class RemoteDevice final : public Device {
 public:
  /// `device` is used in the home thread of `work` alone.
  RemoteDevice(WorkThread& work, Device& device)
      : work_(work), device_(device), name_(device.name()) {}

  void submit(Request& request) override { spawn(carry_out(request)); }
  [[nodiscard]] const std::string& name() const override { return name_; }

 private:
  Task<void> carry_out(Request& request);
  WorkThread& work_;
  Device& device_;
  std::string name_;
};

}  // namespace uvdo
