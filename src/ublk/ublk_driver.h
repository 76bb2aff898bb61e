// SPDX-License-Identifier: GPL-2.0-or-later
// The kernel's ublk driver as the classes above see it: control commands, and of each device that
// is served its port. KernelUblkDriver is the real one; tests have one of their own.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "async/executor.h"
#include "async/task.h"
#include "base/bytes.h"
#include "base/result.h"
#include "ublk/ublk_abi.h"

namespace uvdo {

/// The place of a request; while the server has it no other has the same.
struct UblkSlot {
  std::uint16_t queue = 0;
  std::uint16_t tag = 0;
};

/// A device that this process serves: /dev/ublkcN. All calls come from the executor's thread.
class UblkPort {
 public:
  /// Told of what the driver sends, on the executor's thread. Does no work in the call.
  class Owner {
   public:
    /// There is a request, to be answered by commit().
    virtual void on_request(UblkSlot slot) = 0;
    /// None will come any more; `result` is -ENODEV if the device is being stopped or left, another
    /// negative errno if the driver has refused the command.
    virtual void on_retired(UblkSlot slot, int result) = 0;

   protected:
    ~Owner() = default;
  };

  UblkPort() = default;
  UblkPort(const UblkPort&) = delete;
  UblkPort& operator=(const UblkPort&) = delete;
  /// close() or keep_until_exit() has ended.
  virtual ~UblkPort() = default;

  /// Asks for the first request. Where the driver copies, `buffer` (else null) is where it puts the
  /// data of a write and takes those of a read; it stays the driver's until on_request().
  virtual void fetch(UblkSlot slot, std::byte* buffer) = 0;
  /// The request that was delivered last.
  [[nodiscard]] virtual ublk::IoDescriptor request(UblkSlot slot) const = 0;
  /// Answers it and asks for the next: the bytes that were read or written, 0 for what has no
  /// data, or a negative errno. What is answered in a turn goes to the driver at its end.
  virtual void commit(UblkSlot slot, std::int32_t result, std::byte* buffer) = 0;

  // Where the server copies (kUserCopy): the data of a request from `offset` on, in bytes. Io if
  // they cannot be had.
  virtual Result<void> take_data(UblkSlot slot, std::uint32_t offset, MutableBytes out) = 0;
  virtual Result<void> give_data(UblkSlot slot, std::uint32_t offset, ConstBytes data) = 0;

  /// Hands over what was committed and lets go of the device; the owner is told nothing any more.
  /// Only while the driver sends nothing: the device is stopped, quiesced or not started yet.
  virtual Task<void> close() = 0;
  /// The same at any time, but the driver goes on to send requests, which nobody answers, until the
  /// process has ended: then they go to the next server of a device that can be recovered. (Kernels
  /// before 6.15 crash if a port is closed while requests are on their way and the process lives.)
  virtual Task<void> keep_until_exit() = 0;
};

class UblkDriver {
 public:
  static constexpr Duration kNoLimit = std::chrono::hours(24 * 365);

  UblkDriver() = default;
  UblkDriver(const UblkDriver&) = delete;
  UblkDriver& operator=(const UblkDriver&) = delete;
  virtual ~UblkDriver() = default;

  /// A control command (ublk_abi.h): what the driver returns, a negative errno if it has failed.
  /// After `limit` the kernel is asked to give it up; it may still take until it can. The memory
  /// that the command names stays in place meanwhile.
  virtual Task<int> control(std::uint32_t operation, const ublk::ControlCommand& command,
                            Duration limit) = 0;
  /// Takes a device's port; `owner` outlives it. busy if another process has it, not_found if
  /// there is none, another error if it cannot be opened.
  virtual Result<std::unique_ptr<UblkPort>> open(const ublk::DeviceInfo& device,
                                                 UblkPort::Owner& owner) = 0;
  /// Writes out what the kernel keeps of /dev/ublkbN and its partitions in memory (not what a file
  /// system keeps): 0, or a negative errno.
  virtual Task<int> write_out(std::uint32_t device) = 0;
  /// After how long a request the kernel looks whether its server still lives: 0, or a negative
  /// errno.
  virtual Task<int> set_request_timeout(std::uint32_t device, std::chrono::milliseconds time) = 0;
  /// The numbers of all devices there are.
  virtual Result<std::vector<std::uint32_t>> devices() = 0;
};

/// /dev/ublkcN, by which a device is served, and /dev/ublkbN, by which it is used.
[[nodiscard]] std::string ublk_port_path(std::uint32_t device);
[[nodiscard]] std::string ublk_disk_path(std::uint32_t device);
/// N of "/dev/ublkbN". invalid_argument: it is no such path.
Result<std::uint32_t> parse_ublk_disk_path(std::string_view path);

}  // namespace uvdo
