// SPDX-License-Identifier: GPL-2.0-or-later
// What a connection reads from: a stream behind a receive buffer, so that one system call brings
// many requests. It can change from plain to TLS on the way.
#pragma once

#include <memory>

#include "base/bytes.h"
#include "base/result.h"
#include "net/stream.h"
#include "net/tls_upgrader.h"

namespace uvdo {

/// Bytes between begin_ and end_ of the buffer are received and not consumed. The handshake uses it
/// first, then the connection's reader, never both; what is sent in the transmission phase goes
/// through stream() and not through here. After false from need(), fill(), read_into() or skip()
/// the stream is at its end and the connection has to be closed: where in the stream it stands is
/// not known any more.
class NbdChannel {
 public:
  NbdChannel(Stream& plain, std::size_t buffer_size);

  /// What has been received and not consumed.
  [[nodiscard]] ConstBytes available() const { return {buffer_.get() + begin_, end_ - begin_}; }
  /// `count`: at most what is available(). Views from available() stay as they are until the next
  /// receive.
  void consume(std::size_t count) { begin_ += count; }

  /// Waits until `count` bytes (at most the buffer's size) are available(). False at the end of
  /// the stream or on an error.
  Task<bool> need(std::size_t count);
  /// Receives once, at most `limit` bytes, behind what is available. The buffer must not be full of
  /// bytes that nobody has consumed.
  Task<bool> fill(std::size_t limit);
  /// Fills `out`: first from the buffer, then straight from the stream, along with up to `tail`
  /// bytes of what follows, which become available().
  Task<bool> read_into(MutableBytes out, std::size_t tail);
  /// Throws `count` bytes away.
  Task<bool> skip(std::uint64_t count);
  /// Sends `bytes`, all of them.
  Task<bool> send(ConstBytes bytes);

  /// Does the TLS handshake; from then on all goes through it. Errc::protocol if the client has
  /// sent something behind STARTTLS already, or the handshake's own error: the connection is over
  /// then.
  Task<Result<void>> start_tls(TlsUpgrader& tls);
  [[nodiscard]] bool is_encrypted() const { return encrypted_ != nullptr; }
  [[nodiscard]] Stream& stream() { return encrypted_ ? *encrypted_ : plain_; }
  // Of the socket itself: hanging up, and seeing whether a client has gone or stalled, need no TLS.
  void shut_down() { plain_.shut_down(); }
  [[nodiscard]] PeerState peer() const { return plain_.peer(); }
  [[nodiscard]] std::uint64_t bytes_moved() const { return plain_.bytes_moved(); }
  [[nodiscard]] std::size_t capacity() const { return capacity_; }

 private:
  Stream& plain_;
  // None before STARTTLS. Its end of the session lies over plain_, which outlives it.
  std::unique_ptr<Stream> encrypted_;
  std::unique_ptr<std::byte[]> buffer_;
  std::size_t capacity_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace uvdo
