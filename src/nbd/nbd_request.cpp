// SPDX-License-Identifier: GPL-2.0-or-later
// What happens to a request between its arrival and its reply.
#include "nbd/nbd_request.h"

#include <algorithm>
#include <cstring>

#include "nbd/nbd_connection.h"

namespace uvdo {

using nbd::Command;
using nbd::RequestHeader;
using nbd::WireError;

namespace {

// Descriptors in one answer to BLOCK_STATUS, 16 KiB; a client asks again for what is left.
constexpr std::size_t kMaxDescriptors = 2048;
constexpr std::size_t kDescriptorSize = 8;
// The volume is asked for few at a time, so that no vector grows with the range.
constexpr std::size_t kExtentsAtOnce = 256;

bool is_zero(ConstBytes bytes) {
  // Almost all data shows in its first bytes that it is not zero.
  const std::size_t head = std::min<std::size_t>(bytes.size(), 16);
  for (std::size_t i = 0; i < head; ++i) {
    if (bytes[i] != std::byte{0}) return false;
  }
  // Each byte equals the one 16 before it, and the first 16 are zero: all are.
  return std::memcmp(bytes.data(), bytes.data() + head, bytes.size() - head) == 0;
}

std::uint32_t state_of(ExtentKind kind) {
  switch (kind) {
    case ExtentKind::hole: return nbd::kStateHole | nbd::kStateZero;
    case ExtentKind::zero: return nbd::kStateZero;
    case ExtentKind::data: return 0;
  }
  return 0;
}

Durability durability_of(const RequestHeader& header) {
  return (header.flags & nbd::kFua) != 0 ? Durability::fua : Durability::cached;
}

}  // namespace

Error NbdConnection::ended_early() {
  return {Errc::cancelled, "the server is stopping, or the client has left"};
}

bool NbdConnection::is_streamed(const RequestHeader& header) const {
  return !session_.structured_replies && header.length > nbd::kMaxGathered;
}

bool NbdConnection::is_gathered(const NbdRequest& request) const {
  return !session_.structured_replies || (request.header.flags & nbd::kDf) != 0;
}

NbdRequest& NbdConnection::begin(const RequestHeader& header, std::uint32_t pieces) {
  NbdRequest& request = memory_.requests.take();
  request.header = header;
  request.pieces_left = pieces;
  request.error = WireError::none;
  request.message.clear();
  request.gathered = nullptr;
  request.is_refused = false;
  ++under_way_;
  ++asked_.requests;
  if (header.command == nbd::Command::read) asked_.read_bytes += header.length;
  if (header.command == nbd::Command::write) asked_.written_bytes += header.length;
  return request;
}

NbdPiece& NbdConnection::first_piece(NbdRequest& request, std::uint64_t offset,
                                     std::uint32_t length) {
  NbdPiece& piece = memory_.pieces.take();
  piece.request = &request;
  piece.offset = offset;
  piece.length = length;
  piece.error = WireError::none;
  piece.is_first = true;
  piece.begins = true;
  piece.last = false;
  piece.chain = nullptr;
  return piece;
}

Task<NbdPiece*> NbdConnection::next_piece(NbdRequest& request, std::uint64_t offset,
                                          std::uint32_t length, bool is_first) {
  // The first piece comes with the slot of its request; more of them are counted apart, so that
  // long requests cannot take the pieces of short ones.
  if (!is_first) co_await memory_.more_pieces.acquire();
  NbdPiece& piece = first_piece(request, offset, length);
  piece.is_first = is_first;
  co_return &piece;
}

void NbdConnection::release(NbdPiece& piece) {
  piece.buffer = Buffer();
  if (!piece.is_first) memory_.more_pieces.release();
  memory_.pieces.give(piece);
}

void NbdConnection::on_replied(NbdPiece& piece) {
  NbdRequest& request = *piece.request;
  const bool last = piece.last;
  // The pieces of a part are used again for the next one: they stay with run_streamed_read().
  if (piece.answer == NbdPiece::Answer::part && !last) {
    request.is_part_sent = true;
    part_sent_.wake_all();
    return;
  }
  NbdPiece* next = &piece;
  while (next != nullptr) {
    NbdPiece& at = *next;
    next = at.chain;
    release(at);
  }
  if (!last) return;
  if (!request.is_refused) {
    --under_way_;
    // Taken by dispatch() for requests that are carried out.
    if (is_long(request.header)) memory_.budget.release_long();
  }
  memory_.requests.give(request);
  requests_.release();
}

void NbdConnection::reply(NbdPiece& piece, NbdPiece::Answer answer, bool last) {
  piece.answer = answer;
  piece.last = last;
  replies_.push(piece);
}

void NbdConnection::answer_error(const RequestHeader& header, WireError error,
                                 std::string_view message) {
  NbdRequest& request = begin(header, 1);
  request.error = error;
  request.is_refused = true;
  --under_way_;
  NbdPiece& piece = first_piece(request, header.offset, 0);
  // The protocol has structured errors for reads and block status; all else is answered simply.
  const bool structured = session_.structured_replies && (header.command == Command::read ||
                                                          header.command == Command::block_status);
  if (structured) request.message = message;
  reply(piece, structured ? NbdPiece::Answer::error : NbdPiece::Answer::simple, true);
}

void NbdConnection::finish(NbdPiece& piece, const Result<void>& result) {
  NbdRequest& request = *piece.request;
  if (!result.ok()) {
    piece.error = nbd::wire_error_of(result.error().code());
    if (request.error == WireError::none) {
      request.error = piece.error;
      request.message = result.error().message();
    }
  }
  --request.pieces_left;
  if (request.header.command == Command::read) {
    finish_read(piece);
  } else if (request.pieces_left == 0) {
    reply(piece, NbdPiece::Answer::simple, true);
  } else {
    release(piece);
  }
}

void NbdConnection::finish_read(NbdPiece& piece) {
  NbdRequest& request = *piece.request;
  const bool last = request.pieces_left == 0;
  if (!is_gathered(request)) {
    if (piece.error != WireError::none) {
      reply(piece, NbdPiece::Answer::error_offset, last);
    } else if (is_zero(piece.buffer.bytes())) {
      // Zeros are not sent. The buffer is free for others at once.
      piece.buffer = Buffer();
      reply(piece, NbdPiece::Answer::hole, last);
    } else {
      reply(piece, NbdPiece::Answer::data, last);
    }
    return;
  }
  if (!last) return;
  NbdPiece& first = *request.gathered;
  const bool structured = session_.structured_replies;
  if (request.error == WireError::none) {
    reply(first, structured ? NbdPiece::Answer::data : NbdPiece::Answer::simple, true);
    return;
  }
  request.gathered = nullptr;
  reply(first, structured ? NbdPiece::Answer::error : NbdPiece::Answer::simple, true);
}

Task<void> NbdConnection::run_read(NbdPiece& piece) {
  const RequestTimes::Span span(settings_.times, RequestKind::read, piece.length);
  // The span lies around the volume's part alone: neither the wait for memory nor the sending
  // counts.
  Result<void> result = co_await service_->read(piece.offset, piece.buffer.bytes());
  finish(piece, result);
}

Task<void> NbdConnection::run_write(NbdPiece& piece) {
  const RequestTimes::Span span(settings_.times, RequestKind::write, piece.length);
  auto write =
      service_->write(piece.offset, std::move(piece.buffer), durability_of(piece.request->header));
  Result<void> result = co_await std::move(write);
  finish(piece, result);
}

Task<void> NbdConnection::run_other(NbdPiece& piece) {
  const RequestHeader& header = piece.request->header;
  const bool is_flush = header.command == Command::flush;
  const RequestTimes::Span span(header.command == Command::cache ? nullptr : settings_.times,
                                is_flush ? RequestKind::flush : RequestKind::discard,
                                header.length);
  Result<void> result;
  if (header.command == Command::flush) {
    Result<void> flushed = co_await service_->flush();
    result = std::move(flushed);
    if (std::exchange(owes_error_, false) && result) {
      result = Error(Errc::io, "writes that a server which died had answered may be lost");
    }
  } else if (header.command == Command::trim || header.command == Command::write_zeroes) {
    Result<void> changed = co_await change_range(header);
    result = std::move(changed);
  }
  // CACHE is advice, which we do not take, and what has no length does nothing.
  finish(piece, result);
}

/// Discards or zeroes a range, piece by piece.
Task<Result<void>> NbdConnection::change_range(RequestHeader header) {
  const bool waits_for_turn = is_long(header);
  if (waits_for_turn) co_await long_requests_.acquire();
  Result<void> done;
  std::uint64_t offset = header.offset;
  std::uint32_t left = header.length;
  while (done && left > 0) {
    if (waits_for_turn && may_end_early()) {
      done = ended_early();
      break;
    }
    const std::uint32_t length =
        std::min(left, kRangePiece - static_cast<std::uint32_t>(offset % kRangePiece));
    // The last piece makes what whole blocks of all of them say stable; parts of blocks at the
    // begin are the first one's.
    const bool is_edge = left == header.length || length == left;
    Result<void> changed = co_await change_piece(
        header, offset, length, is_edge ? durability_of(header) : Durability::cached);
    done = std::move(changed);
    offset += length;
    left -= length;
  }
  if (waits_for_turn) long_requests_.release();
  co_return done;
}

Task<Result<void>> NbdConnection::change_piece(const RequestHeader& header, std::uint64_t offset,
                                               std::uint32_t length, Durability durability) {
  if (header.command == Command::trim) {
    Result<void> discarded = co_await service_->discard(offset, length, durability);
    co_return discarded;
  }
  const ZeroMode mode = (header.flags & nbd::kNoHole) != 0 ? ZeroMode::mapped : ZeroMode::punch;
  Result<void> zeroed = co_await service_->write_zeroes(offset, length, mode, durability);
  co_return zeroed;
}

Task<void> NbdConnection::run_block_status(NbdPiece& piece) {
  const bool waits_for_turn = is_long(piece.request->header);
  if (waits_for_turn) co_await long_requests_.acquire();
  Buffer buffer = co_await buffer_from(memory_.reads, kMaxDescriptors * kDescriptorSize);
  piece.buffer = std::move(buffer);
  Result<std::size_t> described = co_await describe_extents(piece);
  if (waits_for_turn) long_requests_.release();
  NbdRequest& request = *piece.request;
  --request.pieces_left;
  if (!described) {
    request.error = nbd::wire_error_of(described.error().code());
    request.message = described.error().message();
    reply(piece, NbdPiece::Answer::error, true);
    co_return;
  }
  piece.buffer.shrink(*described * kDescriptorSize);
  reply(piece, NbdPiece::Answer::block_status, true);
}

// Writes descriptors of the piece's range into its buffer and returns their number, 1 or more.
Task<Result<std::size_t>> NbdConnection::describe_extents(const NbdPiece& piece) {
  const bool one = (piece.request->header.flags & nbd::kReqOne) != 0;
  std::uint64_t offset = piece.offset;
  std::uint64_t left = piece.length;
  std::size_t count = 0;
  std::uint64_t length = 0;  // of the descriptor being made, which neighbours of its state join
  std::uint32_t state = 0;
  const auto put = [&] {
    std::byte* at = piece.buffer.data() + count++ * kDescriptorSize;
    store_be32(at, static_cast<std::uint32_t>(length));
    store_be32(at + 4, state);
  };
  while (left > 0) {
    if (is_long(piece.request->header) && may_end_early()) co_return ended_early();
    // Asked again at where the last answer ended; between two answers writes may change what
    // follows.
    auto extents = co_await service_->extents(offset, left, kExtentsAtOnce);
    if (!extents) co_return std::move(extents).error();
    if (extents->empty()) co_return Error(Errc::io, "the volume does not know its extents");
    for (const Extent& extent : *extents) {
      const std::uint64_t take = std::min(extent.length, left);
      const std::uint32_t its_state = state_of(extent.kind);
      if (length > 0 && its_state != state) {
        put();
        length = 0;
        // An answer may cover less than was asked for, never nothing.
        if (one || count == kMaxDescriptors) co_return count;
      }
      state = its_state;
      length += take;
      offset += take;
      left -= take;
    }
  }
  put();
  co_return count;
}

}  // namespace uvdo
