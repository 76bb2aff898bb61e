// SPDX-License-Identifier: GPL-2.0-or-later
// The least of an NBD client, for the benchmarks: it blocks, and ends the program with a sentence
// when something goes wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace uvdo::bench {

[[noreturn]] void fail(const std::string& why);
/// All of it, waiting as long as that takes; a server that hangs up ends the program.
void send_all(int fd, const std::byte* data, std::size_t size);
void receive_all(int fd, std::byte* data, std::size_t size);

struct Address {
  std::string socket_path;
  std::uint16_t port = 0;  ///< of this machine; 0: the path
};
[[nodiscard]] int connect_to(const Address& address);

enum class Replies : std::uint8_t {
  simple,
  structured,
  with_extents,  ///< and base:allocation
};
/// Fixed newstyle with EXPORT_NAME; returns the size of the export.
std::uint64_t negotiate(int fd, const std::string& export_name, Replies replies);

}  // namespace uvdo::bench
