// SPDX-License-Identifier: GPL-2.0-or-later
// The life of a connection and its reading side. What happens to a request: nbd_request.cpp.
#include "nbd/nbd_connection.h"

#include <cstring>

namespace uvdo {

using nbd::Command;
using nbd::RequestHeader;
using nbd::Verdict;
using nbd::WireError;

namespace {

// Payloads up to this size are received along with other requests and copied; larger ones go
// straight into their buffers.
constexpr std::uint32_t kCopyLimit = 32U << 10U;
// What is received behind a large payload: the next header and a little more.
constexpr std::size_t kTail = 4096;
// Work for a request, in units of Executor::spend().
constexpr std::uint64_t kUnitsPerRequest = 50;

}  // namespace

NbdConnection::NbdConnection(Executor& executor, Stream& stream, const NbdExports& exports,
                             NbdServerMemory& memory, const NbdConnectionSettings& settings)
    : NbdConnection(executor, stream, memory, settings) {
  handshake_.emplace(channel_, exports, settings.tls);
}

NbdConnection::NbdConnection(Executor& executor, Stream& stream, const NbdSession& session,
                             NbdServerMemory& memory, const NbdConnectionSettings& settings)
    : NbdConnection(executor, stream, memory, settings) {
  session_ = session;
  service_ = session_.target->service;
}

NbdConnection::NbdConnection(Executor& executor, Stream& stream, NbdServerMemory& memory,
                             const NbdConnectionSettings& settings)
    : executor_(executor),
      settings_(settings),
      memory_(memory),
      channel_(stream, settings.receive_buffer),
      replies_(executor, *this),
      requests_(memory.budget),
      long_requests_(executor, kLongRequests),
      streams_(executor, 1),
      part_sent_(executor),
      sender_(executor),
      fill_limit_(settings.receive_buffer),
      started_(executor.now()),
      owes_error_(started_ < settings.first_flush_fails_until),
      last_progress_(started_) {
  check(settings.receive_buffer >= BufferPool::kLargest, "a receive buffer of 128 KiB or more");
}

Task<void> NbdConnection::run() {
  if (handshake_) {
    const std::optional<NbdSession> session = co_await handshake_->run();
    if (session) {
      session_ = *session;
      service_ = session_.target->service;
    } else if (reason_.empty()) {
      reason_ = handshake_->reason();
    }
  }
  if (service_ != nullptr) {
    last_progress_ = executor_.now();
    sender_.start(replies_.run(channel_.stream()));
    co_await serve_requests();
    leaving_ = true;
    has_left_ = !said_goodbye_;
    // Whatever the client does, the volume finishes what it has begun.
    while (requests_.in_flight() != 0) co_await requests_.one_ended();
    // No request is left that could push a reply; the sender ends when its queue is empty.
    replies_.stop();
    co_await sender_.wait();
  }
  leaving_ = true;
  co_await channel_.stream().finish();
  channel_.shut_down();
}

void NbdConnection::begin_shutdown() {
  draining_ = true;
  if (handshake_) handshake_->begin_shutdown();
  // Nothing has been promised to who is still in the handshake, and it could last for long.
  if (service_ == nullptr) channel_.shut_down();
}

void NbdConnection::make_room() {
  reason_ = "the client did not choose an export while others waited for its place";
  hang_up();
}

void NbdConnection::hang_up() {
  hung_up_ = true;
  channel_.shut_down();
}

void NbdConnection::check_progress(TimePoint now) {
  if (service_ == nullptr) {
    if (now - started_ < settings_.handshake_limit) return;
    reason_ = "the client took too long to choose an export";
    channel_.shut_down();
    return;
  }
  switch (channel_.peer()) {
    case PeerState::there: break;
    // It may only have closed its sending side and still wait for replies: they are sent, but long
    // requests are not carried on for it.
    case PeerState::sends_no_more: has_left_ = !said_goodbye_; break;
    case PeerState::gone: hang_up(); return;
  }
  const std::uint64_t moved = channel_.bytes_moved();
  if (moved != last_moved_) {
    last_moved_ = moved;
    last_progress_ = now;
    return;
  }
  // A client may be silent for as long as it likes. It is hung up on only where its silence is at
  // others' cost: it has half-sent a payload or does not take its replies, and somebody waits for
  // what it holds; or it is leaving, and only its replies are waited for.
  if (now - last_progress_ < settings_.stall_limit) return;
  const bool holds_write_memory = receiving_payload_ && service_->buffers().is_short();
  const bool holds_read_memory = replies_.is_sending() && memory_.reads.is_short();
  const bool holds_requests =
      (receiving_payload_ || replies_.is_sending()) && memory_.is_short_of_requests();
  if (leaving_ || holds_write_memory || holds_read_memory || holds_requests) {
    reason_ = "the client stalled while others waited for the memory or the requests that it held";
    hang_up();
  }
}

Task<void> NbdConnection::serve_requests() {
  for (;;) {
    while (channel_.available().size() >= nbd::kRequestSize) {
      co_await executor_.give_way();
      if (hung_up_) co_return;
      executor_.spend(kUnitsPerRequest);
      const auto header = nbd::decode_request(channel_.available());
      if (!header) {
        reason_ = "the client sent something that is not an NBD request";
        co_return;
      }
      // What a client may have in flight is bounded here, before its next request is even consumed:
      // the bytes of further ones stay in its socket.
      while (requests_.is_at_limit()) co_await requests_.one_ended();
      // A volume that has become read-only by an error answers writes with EIO and not with EPERM:
      // clients take the latter for an export that was read-only from the start.
      const bool is_read_only = service_->is_read_only() && !service_->has_failed();
      const nbd::ExportState state{service_->size(), is_read_only, session_.structured_replies,
                                   session_.allocation_context, session_.minimum_block};
      const nbd::Judgement judgement = nbd::judge(*header, state);
      if (judgement.verdict == Verdict::hang_up) {
        reason_ = judgement.reason;
        co_return;
      }
      channel_.consume(nbd::kRequestSize);
      // No answer: the protocol has none. What was asked for before is still answered.
      if (header->command == Command::disconnect) {
        said_goodbye_ = true;
        co_return;
      }
      if (judgement.verdict == Verdict::serve && !draining_ && try_fast_path(*header)) continue;
      const bool in_step = co_await dispatch(*header, judgement);
      if (!in_step) co_return;
    }
    const bool more = co_await channel_.fill(fill_limit_);
    if (!more) co_return;
  }
}

bool NbdConnection::try_fast_path(const RequestHeader& header) {
  if (header.length == 0 || header.length > kCopyLimit ||
      piece_count(header.offset, header.length) != 1) {
    return false;
  }
  if (header.command == Command::read) {
    // Both or nothing: without a slot the buffer goes back by itself, and dispatch() waits for
    // both.
    Buffer buffer = memory_.reads.try_acquire(header.length);
    if (buffer.data() == nullptr || !requests_.try_acquire()) return false;
    NbdPiece& piece = first_piece(begin(header, 1), header.offset, header.length);
    if (is_gathered(*piece.request)) piece.request->gathered = &piece;
    piece.buffer = std::move(buffer);
    spawn(run_read(piece));
    return true;
  }
  // The payload lies in the receive buffer with the header already, so that nothing is waited for.
  if (header.command == Command::write && channel_.available().size() >= header.length) {
    Buffer buffer = service_->buffers().try_acquire(header.length);
    if (buffer.data() == nullptr || !requests_.try_acquire()) return false;
    std::memcpy(buffer.data(), channel_.available().data(), header.length);
    channel_.consume(header.length);
    fill_limit_ = channel_.capacity();
    NbdPiece& piece = first_piece(begin(header, 1), header.offset, header.length);
    piece.buffer = std::move(buffer);
    spawn(run_write(piece));
    return true;
  }
  return false;
}

Task<bool> NbdConnection::dispatch(const RequestHeader& header, const nbd::Judgement& judgement) {
  WireError error = judgement.error;
  std::string_view reason = judgement.reason;
  if (draining_) {
    error = WireError::eshutdown;
    reason = "the server is stopping";
  }
  if (error != WireError::none) {
    // The payload comes in any case.
    if (header.command == Command::write) {
      const bool skipped = co_await channel_.skip(header.length);
      if (!skipped) co_return false;
    }
    co_await requests_.acquire();
    answer_error(header, error, reason);
    co_return true;
  }
  if (header.command == Command::write && header.length > 0) {
    const bool in_step = co_await receive_write(header);
    co_return in_step;
  }
  // The long slot first: who waits for one must not hold a slot that short requests need.
  if (is_long(header)) co_await memory_.budget.acquire_long();
  co_await requests_.acquire();
  switch (header.command) {
    case Command::read:
      if (is_streamed(header)) {
        spawn(run_streamed_read(begin(header, 1)));
      } else {
        co_await start_read(header);
      }
      co_return true;
    case Command::block_status:
      spawn(run_block_status(first_piece(begin(header, 1), header.offset, header.length)));
      co_return true;
    case Command::write:
    case Command::flush:
    case Command::trim:
    case Command::cache:
    case Command::write_zeroes:
    case Command::disconnect: break;
  }
  spawn(run_other(first_piece(begin(header, 1), header.offset, header.length)));
  co_return true;
}

Task<bool> NbdConnection::receive_write(const RequestHeader& header) {
  if (header.length <= kCopyLimit) {
    fill_limit_ = channel_.capacity();
    const bool there = co_await channel_.need(header.length);
    if (!there) co_return false;
  } else {
    fill_limit_ = kTail;
  }
  // A slot only when a short payload has come as a whole: a client that sends half of one then
  // holds none.
  co_await requests_.acquire();
  NbdRequest& request = begin(header, piece_count(header.offset, header.length));
  std::uint64_t offset = header.offset;
  std::uint32_t left = header.length;
  bool in_step = true;
  while (left > 0) {
    const std::uint32_t length = piece_length(offset, left);
    NbdPiece& piece = *co_await next_piece(request, offset, length, left == header.length);
    offset += length;
    left -= length;
    // A piece that has been made must be finished in any case, or its request would never end: also
    // when the stream ended before its payload.
    if (in_step) {
      Buffer buffer = co_await buffer_from(service_->buffers(), length);
      receiving_payload_ = true;
      const bool has_buffer = buffer.data() != nullptr;
      if (has_buffer) {
        in_step = co_await channel_.read_into(buffer.bytes(), left == 0 ? kTail : 0);
      } else {
        in_step = co_await channel_.skip(length);
      }
      receiving_payload_ = false;
      piece.buffer = std::move(buffer);
      if (in_step && !has_buffer) {
        finish(piece, Error(Errc::no_space, "the volume takes no writes now"));
        continue;
      }
    }
    if (in_step) {
      spawn(run_write(piece));
    } else {
      finish(piece, Error(Errc::io, "the client left in the middle of a write"));
    }
  }
  co_return in_step;
}

Task<void> NbdConnection::start_read(const RequestHeader& header) {
  NbdRequest& request = begin(header, piece_count(header.offset, header.length));
  std::uint64_t offset = header.offset;
  std::uint32_t left = header.length;
  if (!is_gathered(request)) {
    // Answered by chunks, each as soon as its piece has been read.
    while (left > 0) {
      const std::uint32_t length = piece_length(offset, left);
      NbdPiece& piece = *co_await next_piece(request, offset, length, left == header.length);
      offset += length;
      left -= length;
      if (draining_ || hung_up_) {
        finish(piece, ended_early());
        continue;
      }
      Buffer buffer = co_await buffer_from(memory_.reads, length);
      piece.buffer = std::move(buffer);
      co_await executor_.give_way();
      spawn(run_read(piece));
    }
    co_return;
  }
  // The reply goes out in one piece, so that all of its buffers are needed at the same time.
  co_await memory_.gathering.acquire();
  NbdPiece** end = &request.gathered;
  while (left > 0) {
    const std::uint32_t length = piece_length(offset, left);
    NbdPiece& piece = *co_await next_piece(request, offset, length, left == header.length);
    offset += length;
    left -= length;
    Buffer buffer = co_await buffer_from(memory_.reads, length);
    piece.buffer = std::move(buffer);
    *end = &piece;
    end = &piece.chain;
  }
  memory_.gathering.release();
  // With the last piece the request may be done and gone.
  NbdPiece* next = request.gathered;
  while (next != nullptr) {
    NbdPiece& piece = *next;
    next = piece.chain;
    co_await executor_.give_way();
    if (draining_ || hung_up_) {
      finish(piece, ended_early());
    } else {
      spawn(run_read(piece));
    }
  }
}

Task<Buffer> NbdConnection::buffer_from(BufferPool& pool, std::size_t size) {
  Buffer buffer = pool.try_acquire(size);
  if (buffer.data() == nullptr) {
    Buffer awaited = co_await pool.acquire(size);
    buffer = std::move(awaited);
  }
  co_return buffer;
}

}  // namespace uvdo
