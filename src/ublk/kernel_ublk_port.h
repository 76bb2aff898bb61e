// SPDX-License-Identifier: GPL-2.0-or-later
// A device's port: /dev/ublkcN, the descriptors of requests that are mapped from it, and the ring
// by which requests come and answers go. The ring is the port's own, so that to let go of the
// device takes no end of the process (decisions/015).
#pragma once

#include <vector>

#include "async/uring_loop.h"
#include "base/file_descriptor.h"
#include "ublk/side_ring.h"
#include "ublk/ublk_driver.h"

namespace uvdo {

class KernelUblkPort final : public UblkPort {
 public:
  /// See UblkDriver::open().
  static Result<std::unique_ptr<KernelUblkPort>> open(UringLoop& loop,
                                                      const ublk::DeviceInfo& device, Owner& owner);
  ~KernelUblkPort() override;

  void fetch(UblkSlot slot, std::byte* buffer) override;
  [[nodiscard]] ublk::IoDescriptor request(UblkSlot slot) const override;
  void commit(UblkSlot slot, std::int32_t result, std::byte* buffer) override;
  Result<void> take_data(UblkSlot slot, std::uint32_t offset, MutableBytes out) override;
  Result<void> give_data(UblkSlot slot, std::uint32_t offset, ConstBytes data) override;
  Task<void> close() override;
  Task<void> keep_until_exit() override;

 private:
  /// The command of a slot: fetch or commit-and-fetch.
  struct Command : UringLoop::Operation {
    KernelUblkPort* port = nullptr;
    UblkSlot slot{};
  };
  /// The descriptors of a queue.
  class Descriptors;

  KernelUblkPort(const ublk::DeviceInfo& device, Owner& owner);
  Result<void> map();
  [[nodiscard]] Command& command(UblkSlot slot) {
    return commands_[std::size_t{slot.queue} * depth_ + slot.tag];
  }
  void send(std::uint32_t operation, UblkSlot slot, std::int32_t result, std::byte* buffer);
  void on_complete(const Command& command);

  Owner& owner_;
  std::uint16_t depth_;
  FileDescriptor file_;
  std::vector<Descriptors> descriptors_;  // by queue
  std::vector<Command> commands_;         // they stay in place
  std::unique_ptr<SideRing> ring_;
};

}  // namespace uvdo
