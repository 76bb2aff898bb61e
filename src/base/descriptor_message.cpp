// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/descriptor_message.h"

#include <array>
#include <cerrno>
#include <cstring>

namespace uvdo {
namespace {

constexpr std::size_t kControlBytes = CMSG_SPACE(kMostSentFiles * sizeof(int));

/// The kernel has opened them for this process, whatever it makes of them.
void take_files(msghdr& message, std::vector<FileDescriptor>& files) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    for (std::size_t at = 0; at + CMSG_LEN(sizeof(int)) <= header->cmsg_len; at += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + at, sizeof fd);
      files.emplace_back(fd);
    }
  }
}

}  // namespace

bool send_message(int socket, std::string_view text, std::span<const int> files, const SendTo& to) {
  iovec slice{const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) std::array<std::byte, kControlBytes> control{};
  msghdr message{};
  message.msg_name = const_cast<std::byte*>(to.address.data());
  message.msg_namelen = static_cast<socklen_t>(to.address.size());
  message.msg_iov = &slice;
  message.msg_iovlen = 1;
  if (files.size() > kMostSentFiles) {
    errno = EINVAL;
    return false;
  }
  if (!files.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(files.size_bytes());
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(files.size_bytes());
    std::memcpy(CMSG_DATA(header), files.data(), files.size_bytes());
  }
  ssize_t sent = 0;
  do {
    sent = sendmsg(socket, &message, MSG_NOSIGNAL | to.flags);
  } while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(text.size());
}

std::optional<DescriptorMessage> receive_message(int socket, std::size_t most_text) {
  DescriptorMessage received;
  received.text.resize(most_text);
  iovec slice{received.text.data(), received.text.size()};
  alignas(cmsghdr) std::array<std::byte, kControlBytes> control{};
  msghdr message{};
  message.msg_iov = &slice;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t got = 0;
  do {
    got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got >= 0) take_files(message, received.files);
  if (got < 1) return std::nullopt;
  received.text.resize(static_cast<std::size_t>(got));
  return received;
}

}  // namespace uvdo
