// SPDX-License-Identifier: GPL-2.0-or-later
// The ublk driver of the running kernel, by /dev/ublk-control. Its commands wait in the kernel, in
// threads of io_uring, while the loop goes on: to start a device takes requests to that device.
#pragma once

#include "async/uring_loop.h"
#include "base/file_descriptor.h"
#include "ublk/side_ring.h"
#include "ublk/ublk_driver.h"

namespace uvdo {

class KernelUblkDriver final : public UblkDriver {
 public:
  /// not_found: the kernel has no ublk driver; io: this user may not use it; unsupported: no
  /// io_uring. Each says what to do. The loop outlives it.
  static Result<std::unique_ptr<KernelUblkDriver>> open(UringLoop& loop);
  /// close() has ended.
  ~KernelUblkDriver() override;

  Task<int> control(std::uint32_t operation, const ublk::ControlCommand& command,
                    Duration limit) override;
  Result<std::unique_ptr<UblkPort>> open(const ublk::DeviceInfo& device,
                                         UblkPort::Owner& owner) override;
  Task<int> write_out(std::uint32_t device) override;
  Task<int> set_request_timeout(std::uint32_t device, std::chrono::milliseconds time) override;
  Result<std::vector<std::uint32_t>> devices() override;

  /// No command is under way any more, and no port is open.
  Task<void> close();

 private:
  KernelUblkDriver(UringLoop& loop, FileDescriptor control, std::unique_ptr<SideRing> ring)
      : loop_(loop), control_(std::move(control)), ring_(std::move(ring)) {}
  Task<int> open_late(std::string path, int flags);
  Task<void> close_late(int fd);
  Task<int> write_out(std::string path);

  UringLoop& loop_;
  FileDescriptor control_;
  std::unique_ptr<SideRing> ring_;
};

}  // namespace uvdo
