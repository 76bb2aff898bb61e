// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/tls_stream.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/core.h>

namespace uvdo {
namespace {

constexpr std::size_t kInputSize = std::size_t{256} << 10U;
// Encrypted at once before it is sent: bounds the memory, and keeps the peer busy.
constexpr std::size_t kOutputSize = std::size_t{256} << 10U;

}  // namespace

TlsStream::TlsStream(Executor& executor, Stream& below, gnutls_session_t session)
    : executor_(executor),
      below_(below),
      session_(session),
      in_(kInputSize),
      send_turn_(executor, 1) {
  gnutls_transport_set_ptr(session_, this);
  gnutls_transport_set_pull_function(session_, pull);
  gnutls_transport_set_pull_timeout_function(session_, has_input);
  gnutls_transport_set_push_function(session_, push);
}

TlsStream::~TlsStream() { gnutls_deinit(session_); }

ssize_t TlsStream::pull(gnutls_transport_ptr_t self, void* data, std::size_t size) {
  auto& stream = *static_cast<TlsStream*>(self);
  const std::size_t count = std::min(size, stream.in_end_ - stream.in_begin_);
  if (count == 0) {
    if (stream.ended_) return 0;
    gnutls_transport_set_errno(stream.session_, EAGAIN);
    return -1;
  }
  std::memcpy(data, stream.in_.data() + stream.in_begin_, count);
  stream.in_begin_ += count;
  return static_cast<ssize_t>(count);
}

int TlsStream::has_input(gnutls_transport_ptr_t self, unsigned /*milliseconds*/) {
  const auto& stream = *static_cast<TlsStream*>(self);
  return stream.in_end_ > stream.in_begin_ || stream.ended_ ? 1 : 0;
}

ssize_t TlsStream::push(gnutls_transport_ptr_t self, const void* data, std::size_t size) {
  auto& stream = *static_cast<TlsStream*>(self);
  const auto* bytes = static_cast<const std::byte*>(data);
  stream.out_.insert(stream.out_.end(), bytes, bytes + size);
  return static_cast<ssize_t>(size);
}

Task<bool> TlsStream::refill() {
  if (in_begin_ == in_end_) in_begin_ = in_end_ = 0;
  if (in_end_ == in_.size()) {
    std::memmove(in_.data(), in_.data() + in_begin_, in_end_ - in_begin_);
    in_end_ -= in_begin_;
    in_begin_ = 0;
  }
  // A record has 16 KiB and a little, and GnuTLS asks for more only when it has taken what is
  // there.
  check(in_end_ < in_.size(), "a TLS record fits the buffer");
  const iovec slice{in_.data() + in_end_, in_.size() - in_end_};
  const std::ptrdiff_t count = co_await below_.receive({&slice, 1});
  if (count <= 0) {
    ended_ = true;
    co_return false;
  }
  in_end_ += static_cast<std::size_t>(count);
  co_return true;
}

Task<int> TlsStream::flush() {
  co_await send_turn_.acquire();
  int result = 0;
  // While this sends, others may append to out_: it goes on until nothing is left.
  while (result == 0 && !out_.empty()) {
    // Both buffers keep their memory, so that a busy session asks the heap for none.
    sending_.swap(out_);
    iovec slice{sending_.data(), sending_.size()};
    result = co_await below_.send({&slice, 1});
    sending_.clear();
  }
  send_turn_.release();
  co_return result;
}

Task<Result<void>> TlsStream::handshake() {
  for (;;) {
    // A signature takes about as long as a turn may.
    co_await executor_.next_turn();
    const int code = gnutls_handshake(session_);
    // The turn is over: others have theirs before the next step of a handshake.
    executor_.spend(kTurnUnits);
    // Whatever the outcome: our part of it, or the alert that says why not.
    const int sent = co_await flush();
    if (code == GNUTLS_E_SUCCESS) {
      agreed_ = true;
      if (sent != 0) co_return errno_error(-sent, "TLS handshake");
      co_return Result<void>();
    }
    if (gnutls_error_is_fatal(code) != 0 || ended_ || sent != 0) {
      co_return Error(Errc::protocol,
                      fmt::format("the TLS handshake failed: {}",
                                  ended_ ? "the client left" : gnutls_strerror(code)));
    }
    if (code == GNUTLS_E_AGAIN) {
      // At the end of the stream GnuTLS gets to see it, once more round.
      [[maybe_unused]] const bool more = co_await refill();
    }
  }
}

Task<void> TlsStream::refuse() {
  gnutls_alert_send(session_, GNUTLS_AL_FATAL, GNUTLS_A_ACCESS_DENIED);
  [[maybe_unused]] const int sent = co_await flush();
}

std::ptrdiff_t TlsStream::decrypt(std::span<const iovec> slices) {
  std::ptrdiff_t total = 0;
  for (const iovec& slice : slices) {
    auto* at = static_cast<std::byte*>(slice.iov_base);
    std::size_t left = slice.iov_len;
    while (left > 0) {
      const ssize_t count = gnutls_record_recv(session_, at, left);
      if (count <= 0) return total > 0 ? total : count;
      at += count;
      left -= static_cast<std::size_t>(count);
      total += count;
    }
  }
  return total;
}

Task<std::ptrdiff_t> TlsStream::receive(std::span<const iovec> slices) {
  for (;;) {
    const std::ptrdiff_t count = decrypt(slices);
    if (!out_.empty()) {  // an answer to a change of keys
      const int sent = co_await flush();
      if (sent != 0) co_return sent;
    }
    if (count >= 0) co_return count;
    const int code = static_cast<int>(count);
    if (code == GNUTLS_E_PREMATURE_TERMINATION) co_return 0;  // NBD knows where its messages end
    // A new handshake within the session (TLS 1.2) is refused.
    if (code == GNUTLS_E_REHANDSHAKE || gnutls_error_is_fatal(code) != 0) co_return -EPROTO;
    if (code == GNUTLS_E_AGAIN) {
      [[maybe_unused]] const bool more = co_await refill();
    }
  }
}

int TlsStream::encrypt(std::span<const iovec> slices) {
  // Corked, so that small replies share a record.
  gnutls_record_cork(session_);
  for (const iovec& slice : slices) {
    const auto* at = static_cast<const std::byte*>(slice.iov_base);
    std::size_t left = slice.iov_len;
    while (left > 0) {
      const ssize_t count = gnutls_record_send(session_, at, left);
      if (count < 0) return -EPROTO;
      at += count;
      left -= static_cast<std::size_t>(count);
    }
  }
  return gnutls_record_uncork(session_, 0) < 0 ? -EPROTO : 0;
}

Task<int> TlsStream::send(std::span<iovec> slices) {
  while (!slices.empty()) {
    // As many slices as make a good portion; a long one goes in parts.
    std::size_t count = 0;
    std::size_t bytes = 0;
    while (count < slices.size() && bytes + slices[count].iov_len <= kOutputSize) {
      bytes += slices[count++].iov_len;
    }
    int result = 0;
    if (count > 0) {
      result = encrypt(slices.first(count));
      slices = slices.subspan(count);
    } else {
      iovec& front = slices.front();
      const iovec part{front.iov_base, kOutputSize};
      result = encrypt({&part, 1});
      front.iov_base = static_cast<std::byte*>(front.iov_base) + kOutputSize;
      front.iov_len -= kOutputSize;
    }
    if (result == 0) result = co_await flush();
    if (result != 0) co_return result;
  }
  co_return 0;
}

Task<void> TlsStream::finish() {
  if (!agreed_ || ended_) co_return;
  // An error of it changes nothing: the connection ends now.
  gnutls_bye(session_, GNUTLS_SHUT_WR);
  [[maybe_unused]] const int sent = co_await flush();
}

}  // namespace uvdo
