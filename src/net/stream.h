// SPDX-License-Identifier: GPL-2.0-or-later
// A byte stream between us and a peer: a socket, TLS over a socket, or bytes in memory (tests and
// the fuzzer). One coroutine receives and one sends; both may be under way at the same time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <sys/uio.h>

#include "async/task.h"

namespace uvdo {

/// What is known of a peer without asking it.
enum class PeerState : std::uint8_t {
  there,
  sends_no_more,  ///< it has closed its sending side, or all
  gone,           ///< it takes nothing any more either
};

/// A peer may close, stall or vanish at any time. After an error or the end of the stream nothing
/// more comes of it. The slices and the stream outlive each call.
class Stream {
 public:
  Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  virtual ~Stream() = default;

  /// Fills the slices with what has come, waiting for at least one byte. Returns the count, 0 at
  /// the end of the stream, or a negative errno. The slices must stay in place meanwhile.
  virtual Task<std::ptrdiff_t> receive(std::span<const iovec> slices) = 0;
  /// Sends all bytes of the slices (which it may change). Returns 0 or a negative errno.
  virtual Task<int> send(std::span<iovec> slices) = 0;
  /// Tells the peer that nothing more will come, where the stream has such a message (TLS).
  virtual Task<void> finish() { co_return; }
  /// Ends the stream: what waits in receive() and send() returns soon. May be called repeatedly.
  virtual void shut_down() = 0;
  /// Costs a system call at most; `there` where nobody can tell.
  [[nodiscard]] virtual PeerState peer() const { return PeerState::there; }
  /// Bytes moved so far in both directions, to see whether a peer has stalled.
  [[nodiscard]] virtual std::uint64_t bytes_moved() const = 0;
};

}  // namespace uvdo
