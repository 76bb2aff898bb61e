// SPDX-License-Identifier: GPL-2.0-or-later
// What can be asked of the ublk driver, in types and with errors in words. It keeps no state: each
// call is one command to the driver, or a few.
#pragma once

#include <cstdint>
#include <optional>

#include "ublk/ublk_driver.h"
#include "ublk/ublk_parameters.h"

namespace uvdo {

class UblkControl {
 public:
  /// Both outlive it.
  UblkControl(Executor& executor, UblkDriver& driver) : executor_(executor), driver_(driver) {}

  /// The flags that devices can have (ublk_abi.h). unsupported: the driver is too old.
  Task<Result<std::uint64_t>> features();
  /// What the driver knows of a device. not_found: there is none of that number.
  Task<Result<ublk::DeviceInfo>> info(std::uint32_t device);
  /// The device that was made with this `server_data`, if there is one; of several the first. Those
  /// of other programs have 0, so that none is found with it.
  Task<Result<std::optional<ublk::DeviceInfo>>> find(std::uint64_t server_data);

  // ---- the life of a device

  /// Makes the port of a device; returns what the driver has made of `wanted`, the number among it.
  /// exists: the number is taken.
  Task<Result<ublk::DeviceInfo>> add(ublk::DeviceInfo wanted);
  Task<Result<void>> set_attributes(const ublk::DeviceInfo& device,
                                    const UblkAttributes& attributes);
  Task<Result<UblkAttributes>> attributes(const ublk::DeviceInfo& device);
  /// The device appears. Waits until its server has asked for requests; reads the partition table
  /// by that server.
  Task<Result<void>> start(const ublk::DeviceInfo& device, Duration limit);
  /// The device goes. Waits until the requests that its server has are answered.
  Task<Result<void>> stop(const ublk::DeviceInfo& device);
  /// Its port and number go. busy: only when somebody who still has the device open closes it.
  Task<Result<void>> remove(const ublk::DeviceInfo& device, Duration limit);

  /// Both of them: the end of a device, also of one that no process serves.
  Task<Result<void>> end(const ublk::DeviceInfo& device, Duration limit);

  // ---- from one server to the next

  /// Lets this process take the device over when the server before has gone, for which it waits up
  /// to `patience` (busy).
  Task<Result<void>> start_recovery(const ublk::DeviceInfo& device, Duration patience);
  /// From now on requests come to this process. Waits as start() does.
  Task<Result<void>> end_recovery(const ublk::DeviceInfo& device, Duration limit);
  /// No more requests are sent: they wait for the next server.
  Task<Result<void>> quiesce(const ublk::DeviceInfo& device, Duration limit);

  /// The device has `size` bytes from now on. unsupported: not with this driver.
  Task<Result<void>> update_size(const ublk::DeviceInfo& device, std::uint64_t size);

 private:
  /// With `data` of the command's own, or none. `device` says whether the path goes along.
  Task<int> command(std::uint32_t operation, const ublk::DeviceInfo& device, MutableBytes data,
                    std::uint64_t value, Duration limit);
  Task<int> command(std::uint32_t operation, const ublk::DeviceInfo& device,
                    std::uint64_t value = 0) {
    return command(operation, device, {}, value, UblkDriver::kNoLimit);
  }

  Executor& executor_;
  UblkDriver& driver_;
};

}  // namespace uvdo
