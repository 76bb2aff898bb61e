// SPDX-License-Identifier: GPL-2.0-or-later
// A TLS session over another stream. GnuTLS never blocks here: it takes bytes from a buffer that
// we fill and leaves bytes in one that we send.
#pragma once

#include <vector>

#include <gnutls/gnutls.h>

#include "async/wait_queue.h"
#include "base/result.h"
#include "net/stream.h"

namespace uvdo {

/// One coroutine receives and one sends; GnuTLS is called by both, but never across a wait, so that
/// it sees one call at a time. What it wants sent while receiving (alerts, answers to a change of
/// keys) goes through out_ as well, in the order in which it was made: send_turn_ lets one flush()
/// send at a time.
class TlsStream final : public Stream {
 public:
  /// Takes over `session`, which the caller sets up before handshake(). `below` must outlive this;
  /// it is not closed.
  TlsStream(Executor& executor, Stream& below, gnutls_session_t session);
  ~TlsStream() override;

  /// Agrees with the peer on keys, and verifies it as the session demands.
  Task<Result<void>> handshake();
  /// Tells the peer that it may not come in.
  Task<void> refuse();

  Task<std::ptrdiff_t> receive(std::span<const iovec> slices) override;
  Task<int> send(std::span<iovec> slices) override;
  Task<void> finish() override;
  void shut_down() override { below_.shut_down(); }
  [[nodiscard]] std::uint64_t bytes_moved() const override { return below_.bytes_moved(); }

 private:
  // What GnuTLS calls in place of recv(), send() and poll(): on buffers, never on the socket.
  static ssize_t pull(gnutls_transport_ptr_t self, void* data, std::size_t size);
  static ssize_t push(gnutls_transport_ptr_t self, const void* data, std::size_t size);
  static int has_input(gnutls_transport_ptr_t self, unsigned milliseconds);
  /// Gets more encrypted bytes; false at the end of the stream.
  Task<bool> refill();
  /// Sends what the session has left in out_.
  Task<int> flush();
  /// Encrypts the slices into out_, as many records as needed; 0 or a negative errno.
  int encrypt(std::span<const iovec> slices);
  /// Decrypts what has come into the slices: a count, 0 at the end, or an error of GnuTLS.
  std::ptrdiff_t decrypt(std::span<const iovec> slices);

  Executor& executor_;
  Stream& below_;
  gnutls_session_t session_;
  bool agreed_ = false;
  // The stream below has ended, or failed.
  bool ended_ = false;
  // Received and not decrypted yet: in_begin_ to in_end_. out_ is what the session wants sent,
  // sending_ what is being sent.
  std::vector<std::byte> in_;
  std::size_t in_begin_ = 0;
  std::size_t in_end_ = 0;
  std::vector<std::byte> out_;
  std::vector<std::byte> sending_;
  Semaphore send_turn_;
};

}  // namespace uvdo
