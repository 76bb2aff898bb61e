// SPDX-License-Identifier: GPL-2.0-or-later
// Messages of local sockets that have open files with them (SCM_RIGHTS of unix(7)).
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sys/socket.h>

#include "base/file_descriptor.h"

namespace uvdo {

/// Files that go with one message at most.
inline constexpr std::size_t kMostSentFiles = 64;

struct DescriptorMessage {
  std::string text{};
  std::vector<FileDescriptor> files{};
};

/// Where a message goes that is sent by a socket without connection, and how: flags of sendmsg(2).
struct SendTo {
  std::span<const std::byte> address{};  ///< a sockaddr; empty: the other end
  int flags = 0;
};

/// Sends `text`, which is not empty, and copies of `files`, kMostSentFiles at most. False: it has
/// not gone as a whole; errno says why.
bool send_message(int socket, std::string_view text, std::span<const int> files,
                  const SendTo& to = {});

/// Waits for the next message, of which the first `most_text` bytes are taken. Nothing: the other
/// end is gone, or is silent for longer than the socket waits.
[[nodiscard]] std::optional<DescriptorMessage> receive_message(int socket, std::size_t most_text);

}  // namespace uvdo
