// SPDX-License-Identifier: GPL-2.0-or-later
// A request under way and its pieces (block/request_pieces.h). Both come from NbdServerMemory.
#pragma once

#include <string>

#include "async/buffer_pool.h"
#include "block/request_pieces.h"
#include "nbd/nbd_protocol.h"

namespace uvdo {

struct NbdPiece;

/// A request from its header to its last reply. Belongs to one connection; lives in
/// NbdServerMemory::requests.
struct NbdRequest {
  nbd::RequestHeader header;
  std::uint32_t pieces_left = 0;                ///< not yet done
  nbd::WireError error = nbd::WireError::none;  ///< the first one
  std::string message;                          ///< of the first error
  NbdPiece* gathered = nullptr;  ///< of a read that is answered at once: its pieces in order
  bool is_refused = false;       ///< it never reached the volume
  bool is_part_sent = false;     ///< of a read that is answered in parts: the last one pushed
};

/// A part of a request; also the unit of replies.
struct NbdPiece {
  enum class Answer : std::uint8_t {
    simple,        ///< a simple reply, with the data of the chain if it is a read without error
    data,          ///< a chunk with this piece's data
    hole,          ///< a chunk that says that this piece is zeros
    block_status,  ///< a chunk with descriptors, `length` bytes of the buffer
    error,         ///< an error chunk for the request
    error_offset,  ///< an error chunk for this piece
    part,          ///< data of the chain, behind a simple reply's header if it is the first part
  };

  NbdRequest* request = nullptr;
  std::uint64_t offset = 0;  ///< bytes on the device
  std::uint32_t length = 0;
  Answer answer = Answer::simple;
  bool is_first = true;  ///< of its request's pieces
  bool begins = true;    ///< the first part of an answer
  bool last = false;     ///< with this reply the request is answered
  nbd::WireError error = nbd::WireError::none;
  Buffer buffer;
  NbdPiece* chain = nullptr;  ///< the next piece of a gathered read
  NbdPiece* next = nullptr;   ///< in the reply queue
};

/// Whether a request takes a long slot of the budget. Reads and writes never do: their length is
/// bounded by their data.
[[nodiscard]] inline bool is_long(const nbd::RequestHeader& header) {
  switch (header.command) {
    case nbd::Command::trim:
    case nbd::Command::write_zeroes:
    case nbd::Command::block_status: return header.length > kLongRange;
    case nbd::Command::read:
    case nbd::Command::write:
    case nbd::Command::disconnect:
    case nbd::Command::flush:
    case nbd::Command::cache: break;
  }
  return false;
}

}  // namespace uvdo
