// SPDX-License-Identifier: GPL-2.0-or-later
// What the connections of an NBD server share: memory for the data of reads, and the requests that
// may be under way. All of it is taken at the start, so that a request takes none.
#pragma once

#include <algorithm>

#include "async/buffer_pool.h"
#include "async/wait_queue.h"
#include "base/object_pool.h"
#include "nbd/nbd_request.h"

namespace uvdo {

/// The memory for the data of reads is apart from the volume's own, so that clients that read
/// slowly cannot keep the volume from working.
struct NbdServerMemory {
  /// Bytes; at least room for the largest read that must be answered in one piece, of any
  /// alignment.
  static constexpr std::uint64_t kLeastForReads = std::uint64_t{72} << 20U;
  /// Requests of all clients at once, as many as dm-vdo takes (behaviour.md, 1).
  static constexpr std::uint32_t kUsualRequests = 2048;
  /// Pieces of long requests beside the first of each; at least those of the longest.
  static constexpr std::uint32_t kMorePieces = 1024;

  NbdServerMemory(Executor& executor, std::uint64_t read_bytes, std::uint32_t most_requests)
      : reads(executor, std::max(read_bytes, kLeastForReads)),
        gathering(executor, 1),
        request_slots(executor, most_requests),
        long_slots(executor, (most_requests + 1) / 2),
        more_pieces(executor, kMorePieces),
        most_of_a_client((most_requests + 1) / 2),
        requests(most_requests),
        pieces(std::size_t{most_requests} + kMorePieces) {}

  /// Whether somebody waits for a request or a piece.
  [[nodiscard]] bool is_short_of_requests() const {
    return request_slots.has_waiters() || more_pieces.has_waiters();
  }

  BufferPool reads;
  /// Held by the one who collects many buffers, so that two never wait for each other.
  Semaphore gathering;
  /// Who has one takes a request and its first piece; clients get them in turn.
  Semaphore request_slots;
  /// Taken first by requests that take long, so that there are always slots for the others.
  Semaphore long_slots;
  /// Of the pieces after the first.
  Semaphore more_pieces;
  /// Requests that a client may have under way, so that one that takes its time does not stop the
  /// others.
  std::uint32_t most_of_a_client;
  ObjectPool<NbdRequest> requests;
  ObjectPool<NbdPiece> pieces;
};

}  // namespace uvdo
