// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/unflushed_writes.h"

#include <algorithm>

#include "base/block_types.h"

namespace uvdo {
namespace {

/// The bytes [from, to) of a piece.
UnflushedWrites::Piece part_of(const UnflushedWrites::Piece& whole, std::uint64_t from,
                               std::uint64_t to) {
  UnflushedWrites::Piece part = whole;
  part.offset = from;
  part.length = to - from;
  if (part.data != nullptr) part.data += from - whole.offset;
  return part;
}

}  // namespace

void UnflushedWrites::add(std::uint64_t offset, std::uint64_t length,
                          std::shared_ptr<AlignedMemory> memory) {
  forget(offset, length);
  ++latest_;
  // Zeros take some memory too, to be remembered.
  const std::uint64_t bytes = memory ? memory->size() : kBlockSize;
  added_.emplace_back(latest_, bytes);
  held_ += bytes;
  std::byte* const data = memory ? memory->data() : nullptr;
  pieces_[offset] = {{offset, length, std::move(memory), data}, latest_};
}

void UnflushedWrites::forget(std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t end = offset + length;
  auto at = pieces_.upper_bound(offset);
  if (at != pieces_.begin()) --at;
  while (at != pieces_.end() && at->first < end) {
    const Kept old = at->second;
    const std::uint64_t old_end = old.piece.offset + old.piece.length;
    if (old_end <= offset) {
      ++at;
      continue;
    }
    at = pieces_.erase(at);
    if (old.piece.offset < offset) {
      pieces_[old.piece.offset] = {part_of(old.piece, old.piece.offset, offset), old.number};
    }
    if (old_end > end) pieces_[end] = {part_of(old.piece, end, old_end), old.number};
  }
}

void UnflushedWrites::forget_up_to(std::uint64_t mark) {
  std::erase_if(pieces_, [&](const auto& each) { return each.second.number <= mark; });
  while (!added_.empty() && added_.front().first <= mark) {
    held_ -= added_.front().second;
    added_.pop_front();
  }
}

void UnflushedWrites::for_each(const std::function<void(const Piece&)>& function) const {
  for (const auto& [offset, kept] : pieces_) function(kept.piece);
}

}  // namespace uvdo
