// SPDX-License-Identifier: GPL-2.0-or-later
// Reads whose data are too much for memory, for a client that takes simple replies alone: they are
// read and sent part by part. Once the header has said that all is well an error can only be told
// by hanging up, as the protocol has it.
#include <algorithm>
#include <array>

#include "nbd/nbd_connection.h"

namespace uvdo {
namespace {

// Pieces of a part: 8 MiB, so that take_window() leaves most of the memory for reads to others.
constexpr std::size_t kPiecesOfPart = 64;

}  // namespace

Task<void> NbdConnection::run_streamed_read(NbdRequest& request) {
  const RequestTimes::Span span(settings_.times, RequestKind::read, request.header.length);
  co_await streams_.acquire();
  // The same pieces serve for all parts.
  std::array<NbdPiece*, kPiecesOfPart> window{};
  co_await take_window(request, window);
  std::uint64_t offset = request.header.offset;
  std::uint32_t left = request.header.length;
  bool begins = true;
  for (;;) {
    std::size_t count = 0;
    // As many pieces as are left of the range; each ends at a multiple of 128 KiB.
    for (; count < kPiecesOfPart && left > 0; ++count) {
      NbdPiece& piece = *window[count];
      piece.offset = offset;
      piece.length = piece_length(offset, left);
      offset += piece.length;
      left -= piece.length;
    }
    const auto part = std::span(window).first(count);
    Result<void> done = co_await read_part(part);
    if (!done || left == 0) {
      if (!done) {
        request.error = nbd::wire_error_of(done.error().code());
        if (!begins) {
          reason_ = "a read failed whose first data had been sent: " + done.error().message();
          hang_up();
        }
        // An answer without data: after an error nothing of this part may be sent.
        window[0]->length = 0;
      }
      const std::size_t used = done ? count : 1;
      for (std::size_t i = 0; i < kPiecesOfPart; ++i) {
        // The last reply gives back the pieces of its chain; the others go here.
        if (i >= used) release(*window[i]);
        if (i < used) window[i]->chain = i + 1 < used ? window[i + 1] : nullptr;
      }
      streams_.release();
      window[0]->begins = begins;
      // An error before anything was sent is told; after that the client sees the connection end.
      reply(*window[0], !done && begins ? NbdPiece::Answer::simple : NbdPiece::Answer::part, true);
      co_return;
    }
    co_await send_part(part, begins);
    begins = false;
  }
}

Task<void> NbdConnection::take_window(NbdRequest& request, std::span<NbdPiece*> window) {
  // All at once, so that an answer that has begun waits for nobody else's memory.
  co_await memory_.gathering.acquire();
  for (std::size_t i = 0; i < window.size(); ++i) {
    window[i] = co_await next_piece(request, 0, 0, i == 0);
    Buffer buffer = co_await buffer_from(memory_.reads, BufferPool::kLargest);
    window[i]->buffer = std::move(buffer);
  }
  memory_.gathering.release();
}

Task<Result<void>> NbdConnection::read_part(std::span<NbdPiece* const> part) {
  // A server that stops completes an answer that has begun: to break it off would be an error for
  // the client.
  const bool has_begun = part.front()->offset != part.front()->request->header.offset;
  if (hung_up_ || (draining_ && !has_begun)) co_return ended_early();
  TaskGroup reads(executor_);
  Result<void> failure;
  for (NbdPiece* piece : part) {
    co_await executor_.give_way();
    reads.start([](BlockService& service, NbdPiece& at, Result<void>& failed) -> Task<void> {
      Result<void> done = co_await service.read(at.offset, at.buffer.bytes().first(at.length));
      if (!done) failed = std::move(done);
    }(*service_, *piece, failure));
  }
  co_await reads.wait();
  co_return failure;
}

Task<void> NbdConnection::send_part(std::span<NbdPiece* const> part, bool begins) {
  NbdPiece& first = *part.front();
  for (std::size_t i = 0; i < part.size(); ++i) {
    part[i]->chain = i + 1 < part.size() ? part[i + 1] : nullptr;
  }
  first.begins = begins;
  first.request->is_part_sent = false;
  reply(first, NbdPiece::Answer::part, false);
  while (!first.request->is_part_sent) co_await part_sent_.wait();
}

}  // namespace uvdo
