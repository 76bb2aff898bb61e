// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/socket_stream.h"

#include <cerrno>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace uvdo {

SocketStream::~SocketStream() { close(fd_); }

void SocketStream::end_input() { shutdown(fd_, SHUT_RD); }
void SocketStream::shut_down() { shutdown(fd_, SHUT_RDWR); }

PeerState SocketStream::peer() const {
  // Without waiting. POLLHUP and POLLERR come unasked.
  pollfd state{fd_, POLLRDHUP, 0};
  if (poll(&state, 1, 0) <= 0) return PeerState::there;
  if ((state.revents & (POLLHUP | POLLERR)) != 0) return PeerState::gone;
  return (state.revents & POLLRDHUP) != 0 ? PeerState::sends_no_more : PeerState::there;
}

Task<std::ptrdiff_t> SocketStream::receive(std::span<const iovec> slices) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(slices.data());
  message.msg_iovlen = slices.size();
  for (;;) {
    int result = 0;
    // One slice, the usual case, needs no message header.
    if (slices.size() == 1) {
      result = co_await loop_.perform([&](io_uring_sqe* sqe) {
        io_uring_prep_recv(sqe, fd_, slices[0].iov_base, slices[0].iov_len, 0);
      });
    } else {
      result = co_await loop_.perform(
          [&](io_uring_sqe* sqe) { io_uring_prep_recvmsg(sqe, fd_, &message, 0); });
    }
    if (result == -EINTR || result == -EAGAIN) continue;
    if (result > 0) moved_ += static_cast<std::uint64_t>(result);
    co_return result;
  }
}

Task<int> SocketStream::send(std::span<iovec> slices) {
  msghdr message{};
  while (!slices.empty()) {
    message.msg_iov = slices.data();
    message.msg_iovlen = slices.size();
    // MSG_NOSIGNAL: a peer that has gone is an error, and no SIGPIPE.
    const int result = co_await loop_.perform(
        [&](io_uring_sqe* sqe) { io_uring_prep_sendmsg(sqe, fd_, &message, MSG_NOSIGNAL); });
    if (result == -EINTR || result == -EAGAIN) continue;
    if (result < 0) co_return result;
    moved_ += static_cast<std::uint64_t>(result);
    slices = advance_slices(slices, static_cast<std::size_t>(result));
  }
  co_return 0;
}

std::span<iovec> advance_slices(std::span<iovec> slices, std::size_t count) {
  while (!slices.empty() && count >= slices.front().iov_len) {
    count -= slices.front().iov_len;
    slices = slices.subspan(1);
  }
  if (count > 0) {
    slices.front().iov_base = static_cast<std::byte*>(slices.front().iov_base) + count;
    slices.front().iov_len -= count;
  }
  return slices;
}

}  // namespace uvdo
