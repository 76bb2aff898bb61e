// SPDX-License-Identifier: GPL-2.0-or-later
// Logical blocks whose data in memory are newer than what the map says: those of writes under way,
// and those of writes that were answered and then failed.
//
// What holds here: a block has one writer at a time; from the answer of a write on, and until the
// map says where its data are, newer_data() gives them; what failed is given until the volume's
// end, for it is in read-only mode then.
#pragma once

#include <cstring>
#include <unordered_map>

#include "base/aligned_memory.h"
#include "dedupe/lbn_locks.h"

namespace uvdo {

/// Looked at on every read, so the common case, that nothing of the block is in flight, costs one
/// look into a table. Data of lost writes take memory from the heap: they exist only after a
/// failure.
class InFlight {
 public:
  /// Takes the memory for `blocks` that are being written at once now.
  InFlight(Executor& executor, std::size_t blocks) : locks_(executor, blocks) {}

  LbnLocks& locks() { return locks_; }
  [[nodiscard]] const LbnLocks& locks() const { return locks_; }

  /// The 4096 bytes that a reader is to be given instead of what the map says; nullptr if that is
  /// right.
  [[nodiscard]] const std::byte* newer_data(Lbn lbn) {
    const std::byte* data = locks_.published(lbn);
    if (data != nullptr || lost_.empty()) return data;
    const auto lost = lost_.find(lbn.value());
    return lost == lost_.end() ? nullptr : lost->second.data();
  }

  /// Keeps a copy of the data of a write that clients were told is done, and that is not.
  void keep_lost(Lbn lbn, const std::byte* data) {
    AlignedMemory copy(kBlockSize);
    std::memcpy(copy.data(), data, kBlockSize);
    lost_.insert_or_assign(lbn.value(), std::move(copy));
  }
  [[nodiscard]] std::size_t lost_blocks() const { return lost_.size(); }

 private:
  LbnLocks locks_;
  std::unordered_map<std::uint64_t, AlignedMemory> lost_;
};

}  // namespace uvdo
