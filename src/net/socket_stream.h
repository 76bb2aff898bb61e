// SPDX-License-Identifier: GPL-2.0-or-later
// A connected socket as a Stream on the io_uring loop.
#pragma once

#include "async/uring_loop.h"
#include "net/stream.h"

namespace uvdo {

/// A stream of its own for each connection, used on the loop's thread. No receive() or send() may
/// be under way when it is destroyed: shut_down() ends both, and who called them waits for that.
class SocketStream final : public Stream {
 public:
  /// Takes over `fd`, a connected stream socket, and closes it at the end.
  SocketStream(UringLoop& loop, int fd) : loop_(loop), fd_(fd) {}
  ~SocketStream() override;

  Task<std::ptrdiff_t> receive(std::span<const iovec> slices) override;
  Task<int> send(std::span<iovec> slices) override;
  void shut_down() override;
  /// receive() gives what has come already, then the end; send() goes on.
  void end_input();
  [[nodiscard]] PeerState peer() const override;
  [[nodiscard]] std::uint64_t bytes_moved() const override { return moved_; }

 private:
  UringLoop& loop_;
  int fd_;
  std::uint64_t moved_ = 0;
};

/// Drops the first `count` bytes of `slices`.
[[nodiscard]] std::span<iovec> advance_slices(std::span<iovec> slices, std::size_t count);

}  // namespace uvdo
