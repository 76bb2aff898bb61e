// SPDX-License-Identifier: GPL-2.0-or-later
// What /sys and /dev show of the devices of the kernel's NBD client. All calls block.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"

namespace uvdo {

class KernelNbdFolder {
 public:
  /// `system` and `devices` are other folders in tests.
  explicit KernelNbdFolder(std::string system = "/sys/block", std::string devices = "/dev",
                           std::string udev = "/run/udev")
      : system_(std::move(system)), devices_(std::move(devices)), udev_(std::move(udev)) {}

  /// "/dev/nbdN"
  [[nodiscard]] std::string path(std::uint32_t index) const;
  /// The device that was made with this identifier and has not ended, if there is one.
  [[nodiscard]] std::optional<std::uint32_t> find(const std::string& identifier) const;
  /// Bytes; 0 if there is no such device.
  [[nodiscard]] std::uint64_t size_of(std::uint32_t index) const;

  /// After how long without an answer the driver looks whether a request went to a socket that has
  /// been replaced, and sends it anew. It goes on waiting for others.
  Result<void> set_resend_interval(std::uint32_t index, std::chrono::milliseconds interval) const;
  /// Waits until the device's node is there and udev has nothing left to do, but no longer than
  /// `most`; not_found: there is no node.
  Result<void> settle(std::uint32_t index, std::chrono::milliseconds most) const;

 private:
  [[nodiscard]] std::string folder(std::uint32_t index) const;

  std::string system_;
  std::string devices_;
  std::string udev_;
};

}  // namespace uvdo
