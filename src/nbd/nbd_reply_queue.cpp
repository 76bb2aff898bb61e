// SPDX-License-Identifier: GPL-2.0-or-later
#include "nbd/nbd_reply_queue.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace uvdo {
namespace {

constexpr std::size_t kMaxMessage = 256;  // bytes of an error message that are sent

// At most: one for the header and one for the data of each piece of the chain. A read of 32 MiB at
// an odd offset has 257 pieces, so that an empty batch takes any reply.
std::size_t slices_of(const NbdPiece& piece) {
  std::size_t count = 2;
  for (const NbdPiece* at = piece.chain; at != nullptr; at = at->chain) ++count;
  return count;
}

}  // namespace

NbdReplyQueue::NbdReplyQueue(Executor& executor, Owner& owner)
    : executor_(executor),
      owner_(owner),
      wakeup_(executor),
      headers_(kHeaderRoom),
      slices_(kMaxSlices) {}

void NbdReplyQueue::push(NbdPiece& piece) {
  piece.next = nullptr;
  // The next part of the answer that is going out overtakes all else: no other reply may stand
  // between two parts.
  if (open_ == piece.request) {
    part_ = &piece;
  } else {
    *tail_ = &piece;
    tail_ = &piece.next;
  }
  if (idle_) {
    idle_ = false;
    wakeup_.wake_one();
  }
}

void NbdReplyQueue::stop() {
  stopping_ = true;
  wakeup_.wake_one();
}

Task<void> NbdReplyQueue::run(Stream& stream) {
  for (;;) {
    while (!has_next() && !stopping_) {
      idle_ = true;
      co_await wakeup_.wait();
      idle_ = false;
    }
    if (!has_next()) co_return;
    // Everything that becomes ready in this turn goes along.
    co_await executor_.turn_end();
    collect();
    if (!failed_) {
      sending_ = true;
      // One send at a time, so that replies leave whole and in order.
      const int result = co_await stream.send(std::span<iovec>(slices_).first(slices_used_));
      sending_ = false;
      if (result < 0) {
        failed_ = true;
        owner_.on_send_failed();
      }
    }
    release_batch();
  }
}

void NbdReplyQueue::collect() {
  headers_used_ = 0;
  slices_used_ = 0;
  batch_bytes_ = 0;
  header_open_ = false;
  if (open_ != nullptr) {
    batch_ = std::exchange(part_, nullptr);
    if (batch_->last) open_ = nullptr;
    add(*batch_);
    return;
  }
  batch_ = head_;
  NbdPiece** end = &batch_;
  while (*end != nullptr && batch_bytes_ < kBatchBytes &&
         headers_used_ + kMaxHeader <= headers_.size() &&
         slices_used_ + slices_of(**end) <= kMaxSlices) {
    NbdPiece& piece = **end;
    add(piece);
    end = &piece.next;
    // An answer in parts begins: the batch ends with its first one, and nothing else follows before
    // its last one.
    if (piece.answer == NbdPiece::Answer::part && !piece.last) {
      open_ = piece.request;
      break;
    }
  }
  // What did not fit stays in the queue.
  head_ = *end;
  if (head_ == nullptr) tail_ = &head_;
  *end = nullptr;
}

void NbdReplyQueue::add(NbdPiece& piece) {
  const NbdRequest& request = *piece.request;
  const std::uint64_t cookie = request.header.cookie;
  const MutableBytes header(headers_.data() + headers_used_, kMaxHeader);
  std::size_t header_size = nbd::kStructuredReplySize;
  switch (piece.answer) {
    case NbdPiece::Answer::simple:
      header_size = nbd::kSimpleReplySize;
      nbd::encode_simple_reply(header, request.error, cookie);
      break;
    // The data of a chunk begin with their offset (8 bytes).
    case NbdPiece::Answer::data: {
      std::uint32_t length = 0;
      for (const NbdPiece* at = &piece; at != nullptr; at = at->chain) length += at->length;
      nbd::encode_chunk(header, nbd::ChunkType::offset_data, piece.last, cookie, length + 8);
      store_be64(header.data() + header_size, piece.offset);
      header_size += 8;
      break;
    }
    // Offset (8 bytes) and length (4) stand for the zeros.
    case NbdPiece::Answer::hole:
      nbd::encode_chunk(header, nbd::ChunkType::offset_hole, piece.last, cookie, 12);
      store_be64(header.data() + header_size, piece.offset);
      store_be32(header.data() + header_size + 8, piece.length);
      header_size += 12;
      break;
    // The descriptors in the buffer follow the number of their context (4 bytes).
    case NbdPiece::Answer::block_status:
      nbd::encode_chunk(header, nbd::ChunkType::block_status, piece.last, cookie,
                        static_cast<std::uint32_t>(piece.buffer.size()) + 4);
      store_be32(header.data() + header_size, nbd::kAllocationContextId);
      header_size += 4;
      break;
    case NbdPiece::Answer::error:
    case NbdPiece::Answer::error_offset: {
      // An error's number (4 bytes), the length of the message (2), the message, and the offset
      // (8).
      const bool with_offset = piece.answer == NbdPiece::Answer::error_offset;
      const std::size_t text = std::min(request.message.size(), kMaxMessage);
      const std::size_t length = 6 + text + (with_offset ? 8 : 0);
      nbd::encode_chunk(header, with_offset ? nbd::ChunkType::error_offset : nbd::ChunkType::error,
                        piece.last, cookie, static_cast<std::uint32_t>(length));
      std::byte* at = header.data() + header_size;
      store_be32(at, static_cast<std::uint32_t>(with_offset ? piece.error : request.error));
      store_be16(at + 4, static_cast<std::uint16_t>(text));
      std::memcpy(at + 6, request.message.data(), text);
      if (with_offset) store_be64(at + 6 + text, piece.offset);
      header_size += length;
      break;
    }
    case NbdPiece::Answer::part:
      header_size = piece.begins ? nbd::kSimpleReplySize : 0;
      if (piece.begins) nbd::encode_simple_reply(header, nbd::WireError::none, cookie);
      break;
  }
  add_header(header_size);
  if (piece.answer == NbdPiece::Answer::block_status) {
    add_data(piece.buffer.bytes());
  } else if (piece.answer == NbdPiece::Answer::data || piece.answer == NbdPiece::Answer::part ||
             (piece.answer == NbdPiece::Answer::simple && request.gathered == &piece)) {
    for (const NbdPiece* at = &piece; at != nullptr; at = at->chain) {
      if (at->length > 0) add_data(at->buffer.bytes().first(at->length));
    }
  }
}

void NbdReplyQueue::add_header(std::size_t size) {
  if (size == 0) return;
  // Headers without data between them share a slice.
  if (header_open_) {
    slices_[slices_used_ - 1].iov_len += size;
  } else {
    slices_[slices_used_++] = {headers_.data() + headers_used_, size};
  }
  headers_used_ += size;
  batch_bytes_ += size;
  header_open_ = true;
}

void NbdReplyQueue::add_data(ConstBytes data) {
  slices_[slices_used_++] = {const_cast<std::byte*>(data.data()), data.size()};
  batch_bytes_ += data.size();
  header_open_ = false;
}

void NbdReplyQueue::release_batch() {
  while (batch_ != nullptr) {
    NbdPiece& piece = *batch_;
    batch_ = piece.next;
    owner_.on_replied(piece);
  }
}

}  // namespace uvdo
