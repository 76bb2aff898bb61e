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
#include "volume/kept_memory.h"

namespace uvdo {

/// Looked at on every read, so the common case, that nothing of the block is in flight, costs one
/// look into a table. Data of lost writes take memory from the heap: they exist only after a
/// failure.
class InFlight {
 public:
  /// Takes the memory for `blocks` that are being written at once now.
  /// `kept`: where it is noted what was answered, for the next process; nullptr: nowhere.
  InFlight(Executor& executor, std::size_t blocks, KeptMemory* kept = nullptr)
      : kept_(kept), locks_(executor, blocks) {}

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

  /// The write of a locked block is about to be answered: readers are given `data` from now on.
  void publish(Lbn lbn, const std::byte* data) {
    locks_.publish(lbn, data);
    if (kept_ != nullptr) kept_->keep(lbn, data);
  }
  /// Such data have been copied.
  void move(Lbn lbn, const std::byte* from, const std::byte* to) {
    locks_.publish(lbn, to);
    if (kept_ != nullptr) kept_->move(from, to);
  }
  /// The map says where `data` are, or the write has failed: the lock goes to the next in line.
  void end(Lbn lbn, const std::byte* data) {
    if (kept_ != nullptr) kept_->forget(data);
    locks_.unlock(lbn);
  }

  /// Keeps a copy of the data of a write that clients were told is done, and that is not.
  void keep_lost(Lbn lbn, const std::byte* data) {
    AlignedMemory copy(kBlockSize);
    std::memcpy(copy.data(), data, kBlockSize);
    lost_.insert_or_assign(lbn.value(), std::move(copy));
  }
  [[nodiscard]] std::size_t lost_blocks() const { return lost_.size(); }

 private:
  KeptMemory* kept_;
  LbnLocks locks_;
  std::unordered_map<std::uint64_t, AlignedMemory> lost_;
};

}  // namespace uvdo
