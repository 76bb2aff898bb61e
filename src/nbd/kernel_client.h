// SPDX-License-Identifier: GPL-2.0-or-later
// Commands to the kernel's NBD client, which makes block devices (/dev/nbdN) of sockets behind
// which an NBD server is in the transmission phase (linux/nbd-netlink.h). All calls block: the
// kernel answers DISCONNECT and a new size only when requests that are under way have ended, so
// whoever serves them must go on meanwhile, in another thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/file_descriptor.h"
#include "base/result.h"
#include "nbd/netlink_message.h"

namespace uvdo {

/// A device to be made.
struct KernelNbdSetup {
  std::optional<std::uint32_t> index;  ///< N of /dev/nbdN; none: the driver finds one that is free
  std::uint64_t size = 0;              ///< bytes, a multiple of `block`
  std::uint32_t block = 4096;          ///< the logical block size, 512 to 4096 bytes
  std::uint16_t flags = 0;             ///< transmission flags (nbd_protocol.h)
  /// How long requests wait for another socket when this one has closed.
  std::chrono::seconds dead_limit{0};
  std::string identifier;  ///< whose device it is: as in /sys/block/nbdN/backend
  int socket = -1;         ///< the client's end; stays the caller's
};

class KernelNbdClient {
 public:
  /// Talks to the driver of this machine's kernel. not_found: it is not loaded.
  static Result<KernelNbdClient> open();
  /// The same over a socket whose other end speaks generic netlink; for tests.
  static Result<KernelNbdClient> over(FileDescriptor socket);

  /// Makes a device; its index. busy: there is another at the index that was asked for.
  Result<std::uint32_t> connect(const KernelNbdSetup& setup);
  /// Gives a device that has lost its socket another. It is no error if it has not lost it: then
  /// the driver does not take this one. invalid_argument: no such device, or it is not of
  /// `identifier`.
  Result<void> reconnect(std::uint32_t index, const std::string& identifier, int socket);
  /// Gives a device another size in bytes; returns when requests that were under way have ended.
  Result<void> resize(std::uint32_t index, const std::string& identifier, std::uint64_t size);
  /// Ends the device: what is under way fails, and so does whatever those ask who still have it
  /// open. Also right for a device that is not connected.
  Result<void> disconnect(std::uint32_t index);
  /// The device makes its request limit the driver's default again.
  Result<void> reset_request_limit(std::uint32_t index, const std::string& identifier);

  struct Status {
    std::uint32_t index = 0;
    bool is_connected = false;  ///< or somebody has it open
  };
  /// Every device that the driver has.
  Result<std::vector<Status>> status();

 private:
  explicit KernelNbdClient(FileDescriptor socket) : socket_(std::move(socket)) {}

  Result<std::uint16_t> find_family();
  [[nodiscard]] NetlinkWriter command(std::uint8_t number);
  /// A RECONFIGURE, still without what is to be changed.
  [[nodiscard]] NetlinkWriter reconfigure(std::uint32_t index, const std::string& identifier);
  /// Sends a request and waits for its acknowledgement; what `take` is given of each reply before.
  template <class Take>
  Result<void> ask(const NetlinkWriter& request, std::string_view what, Take&& take);
  Result<void> ask(const NetlinkWriter& request, std::string_view what);

  FileDescriptor socket_;
  std::uint16_t family_ = 0;
  std::uint32_t sequence_ = 0;
};

/// N of "/dev/nbdN" or "nbdN". invalid_argument: it is no such name.
Result<std::uint32_t> parse_kernel_nbd_name(std::string_view name);

}  // namespace uvdo
