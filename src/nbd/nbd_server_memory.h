// SPDX-License-Identifier: GPL-2.0-or-later
// What the connections of an NBD server share: memory for the data of reads, and for the requests
// under way, of which a RequestBudget says how many there may be. All of it is taken at the start,
// so that a request takes none.
#pragma once

#include <algorithm>

#include "async/buffer_pool.h"
#include "async/wait_queue.h"
#include "base/object_pool.h"
#include "block/request_budget.h"
#include "nbd/nbd_request.h"

namespace uvdo {

/// The memory for the data of reads is apart from the volume's own, so that clients that read
/// slowly cannot keep the volume from working.
struct NbdServerMemory {
  /// Bytes; at least room for the largest read that must be answered in one piece, of any
  /// alignment.
  static constexpr std::uint64_t kLeastForReads = std::uint64_t{72} << 20U;
  /// Pieces of long requests beside the first of each; at least those of the longest.
  static constexpr std::uint32_t kMorePieces = 1024;

  /// `shared` must outlive this.
  NbdServerMemory(Executor& executor, std::uint64_t read_bytes, RequestBudget& shared)
      : budget(shared),
        reads(executor, std::max(read_bytes, kLeastForReads)),
        gathering(executor, 1),
        more_pieces(executor, kMorePieces),
        requests(shared.most()),
        pieces(std::size_t{shared.most()} + kMorePieces) {}

  /// Whether somebody waits for a request or a piece.
  [[nodiscard]] bool is_short_of_requests() const {
    return budget.is_short() || more_pieces.has_waiters();
  }

  /// Who has a slot of it takes a request and its first piece.
  RequestBudget& budget;
  BufferPool reads;
  /// Held by the one who collects many buffers, so that two never wait for each other.
  Semaphore gathering;
  /// Of the pieces after the first.
  Semaphore more_pieces;
  ObjectPool<NbdRequest> requests;
  ObjectPool<NbdPiece> pieces;
};

}  // namespace uvdo
