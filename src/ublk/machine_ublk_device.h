// SPDX-License-Identifier: GPL-2.0-or-later
// A ublk device with a way to the kernel's driver of its own: what a server adds to its front ends.
#pragma once

#include <memory>

#include "ublk/kernel_ublk_driver.h"
#include "ublk/ublk_device.h"

namespace uvdo {

class MachineUblkDevice final : public FrontEnd {
 public:
  /// Errors: as of KernelUblkDriver::open(). `loop`, `service` and `budget` must outlive it.
  static Result<std::unique_ptr<FrontEnd>> make(UringLoop& loop, BlockService& service,
                                                RequestBudget& budget,
                                                UblkDevice::Settings settings);

  [[nodiscard]] std::string_view kind() const override { return device_.kind(); }
  [[nodiscard]] std::vector<FrontEndAddress> addresses() const override {
    return device_.addresses();
  }
  [[nodiscard]] std::size_t clients() const override { return device_.clients(); }
  Task<Result<void>> start() override;
  void size_changed() override { device_.size_changed(); }
  Task<void> shutdown() override;
  [[nodiscard]] bool can_leave() const override { return device_.can_leave(); }
  Task<Result<void>> leave() override;

 private:
  MachineUblkDevice(std::unique_ptr<KernelUblkDriver> driver, UringLoop& loop,
                    BlockService& service, RequestBudget& budget, UblkDevice::Settings settings)
      : driver_(std::move(driver)), device_(loop, *driver_, service, budget, std::move(settings)) {}

  std::unique_ptr<KernelUblkDriver> driver_;
  UblkDevice device_;
};

}  // namespace uvdo
