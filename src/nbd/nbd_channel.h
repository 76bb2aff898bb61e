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

class NbdChannel {
 public:
  NbdChannel(Stream& plain, std::size_t buffer_size);

  /// What has been received and not consumed.
  [[nodiscard]] ConstBytes available() const { return {buffer_.get() + begin_, end_ - begin_}; }
  void consume(std::size_t count) { begin_ += count; }

  /// Waits until `count` bytes (at most the buffer's size) are available(). False at the end of
  /// the stream or on an error.
  Task<bool> need(std::size_t count);
  /// Receives once, at most `limit` bytes, behind what is available.
  Task<bool> fill(std::size_t limit);
  /// Fills `out`: first from the buffer, then straight from the stream, along with up to `tail`
  /// bytes of what follows, which become available().
  Task<bool> read_into(MutableBytes out, std::size_t tail);
  /// Throws `count` bytes away.
  Task<bool> skip(std::uint64_t count);
  /// Sends `bytes`, all of them.
  Task<bool> send(ConstBytes bytes);

  Task<Result<void>> start_tls(TlsUpgrader& tls);
  [[nodiscard]] bool is_encrypted() const { return encrypted_ != nullptr; }
  [[nodiscard]] Stream& stream() { return encrypted_ ? *encrypted_ : plain_; }
  void shut_down() { plain_.shut_down(); }
  [[nodiscard]] PeerState peer() const { return plain_.peer(); }
  [[nodiscard]] std::uint64_t bytes_moved() const { return plain_.bytes_moved(); }
  [[nodiscard]] std::size_t capacity() const { return capacity_; }

 private:
  Stream& plain_;
  std::unique_ptr<Stream> encrypted_;
  std::unique_ptr<std::byte[]> buffer_;
  std::size_t capacity_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace uvdo
