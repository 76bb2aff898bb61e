// SPDX-License-Identifier: GPL-2.0-or-later
#include "nbd/nbd_channel.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace uvdo {

NbdChannel::NbdChannel(Stream& plain, std::size_t buffer_size)
    : plain_(plain), buffer_(new std::byte[buffer_size]), capacity_(buffer_size) {}

Task<bool> NbdChannel::fill(std::size_t limit) {
  if (begin_ == end_) {
    begin_ = end_ = 0;
  } else if (capacity_ - end_ < capacity_ / 2) {
    // Moved only when less than half is free behind the bytes, so that a stream of small requests
    // does not copy its rest at each receive.
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  check(end_ < capacity_, "the receive buffer has room");
  const iovec slice{buffer_.get() + end_, std::min(limit, capacity_ - end_)};
  const std::ptrdiff_t count = co_await stream().receive({&slice, 1});
  if (count <= 0) co_return false;
  end_ += static_cast<std::size_t>(count);
  co_return true;
}

Task<bool> NbdChannel::need(std::size_t count) {
  check(count <= capacity_, "what is needed fits the receive buffer");
  while (end_ - begin_ < count) {
    const bool more = co_await fill(capacity_);
    if (!more) co_return false;
  }
  co_return true;
}

Task<bool> NbdChannel::read_into(MutableBytes out, std::size_t tail) {
  const std::size_t ready = std::min(out.size(), end_ - begin_);
  std::memcpy(out.data(), buffer_.get() + begin_, ready);
  begin_ += ready;
  out = out.subspan(ready);
  if (out.empty()) co_return true;
  // The buffer is empty here: what follows the payload lands at its beginning, received by the same
  // system call.
  begin_ = end_ = 0;
  while (!out.empty()) {
    // Bytes can land in the tail only when `out` was filled: slices are filled in order. So the
    // tail counts only in the last round.
    const std::array<iovec, 2> slices{
        iovec{out.data(), out.size()},
        iovec{buffer_.get(), std::min(tail, capacity_)},
    };
    const std::ptrdiff_t result =
        co_await stream().receive(std::span<const iovec>(slices).first(tail > 0 ? 2 : 1));
    if (result <= 0) co_return false;
    const auto count = static_cast<std::size_t>(result);
    end_ = count > out.size() ? count - out.size() : 0;
    out = out.subspan(std::min(count, out.size()));
  }
  co_return true;
}

Task<bool> NbdChannel::skip(std::uint64_t count) {
  for (;;) {
    const std::size_t ready = std::min<std::uint64_t>(count, end_ - begin_);
    begin_ += ready;
    count -= ready;
    if (count == 0) co_return true;
    const bool more = co_await fill(capacity_);
    if (!more) co_return false;
  }
}

Task<bool> NbdChannel::send(ConstBytes bytes) {
  iovec slice{const_cast<std::byte*>(bytes.data()), bytes.size()};
  const int result = co_await stream().send({&slice, 1});
  co_return result == 0;
}

Task<Result<void>> NbdChannel::start_tls(TlsUpgrader& tls) {
  // Bytes that came in the clear behind the option must not be taken for what the peer says under
  // TLS; an honest client waits for our answer before it goes on.
  if (begin_ != end_) {
    co_return Error(Errc::protocol, "the client sent bytes between STARTTLS and our answer to it");
  }
  auto made = co_await tls.accept(plain_);
  if (!made) co_return std::move(made).error();
  encrypted_ = std::move(*made);
  co_return Result<void>();
}

}  // namespace uvdo
