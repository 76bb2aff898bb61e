// SPDX-License-Identifier: GPL-2.0-or-later
// What was written to a store since its last flush: as long as it is here it can be written again
// to a server that has lost it. Only the latest content of each byte is kept, so that what is
// written again may go in any order and never takes anything back.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "base/aligned_memory.h"
#include "base/bytes.h"

namespace uvdo {

class UnflushedWrites {
 public:
  /// Bytes of the store and what they are; no `data` if they are zeros.
  struct Piece {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    std::shared_ptr<AlignedMemory> memory{};  ///< owns `data`
    std::byte* data = nullptr;
  };

  /// `memory` holds what was written at `offset`, all of it; nothing: zeros were written.
  void add(std::uint64_t offset, std::uint64_t length, std::shared_ptr<AlignedMemory> memory);
  /// These bytes are stable, or nobody needs them.
  void forget(std::uint64_t offset, std::uint64_t length);

  /// The number of the latest that was added.
  [[nodiscard]] std::uint64_t mark() const { return latest_; }
  /// All up to that number is stable.
  void forget_up_to(std::uint64_t mark);
  /// Bytes of memory that are kept, at most.
  [[nodiscard]] std::uint64_t held() const { return held_; }
  [[nodiscard]] bool empty() const { return pieces_.empty(); }
  void for_each(const std::function<void(const Piece&)>& function) const;

 private:
  struct Kept {
    Piece piece;
    std::uint64_t number = 0;
  };
  std::map<std::uint64_t, Kept> pieces_;                       // by offset; none overlaps another
  std::deque<std::pair<std::uint64_t, std::uint64_t>> added_;  // numbers, and the memory with each
  std::uint64_t latest_ = 0;
  std::uint64_t held_ = 0;
};

}  // namespace uvdo
