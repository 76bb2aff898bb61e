// SPDX-License-Identifier: GPL-2.0-or-later
#include "ublk/machine_ublk_device.h"

namespace uvdo {

Result<std::unique_ptr<FrontEnd>> MachineUblkDevice::make(UringLoop& loop, BlockService& service,
                                                          RequestBudget& budget,
                                                          UblkDevice::Settings settings) {
  auto driver = KernelUblkDriver::open(loop);
  if (!driver) return std::move(driver).error();
  return std::unique_ptr<FrontEnd>(
      new MachineUblkDevice(std::move(*driver), loop, service, budget, std::move(settings)));
}

Task<Result<void>> MachineUblkDevice::start() {
  auto started = co_await device_.start();
  if (!started) co_await driver_->close();
  co_return started;
}

Task<void> MachineUblkDevice::shutdown() {
  co_await device_.shutdown();
  co_await driver_->close();
}

Task<Result<void>> MachineUblkDevice::leave() {
  auto left = co_await device_.leave();
  co_await driver_->close();
  co_return left;
}

}  // namespace uvdo
