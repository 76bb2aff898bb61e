// SPDX-License-Identifier: GPL-2.0-or-later
// Reading the recovery journal of a volume that was not shut down, for what format/ makes of it:
// where it begins and ends, and how far its entries can be used (behaviour.md, 9.1 and 9.2).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "async/task.h"
#include "base/aligned_memory.h"
#include "base/block_types.h"
#include "device/pbn_device.h"
#include "format/journal_view.h"
#include "format/usable_journal.h"

namespace uvdo {

/// Where the ring is.
struct JournalRing {
  Pbn start{};             ///< of the partition
  std::uint64_t size = 0;  ///< blocks
};
/// Where the super block says that it is (volume.md, 4).
[[nodiscard]] JournalRing journal_ring(const SuperBlock& super_block);

/// Gives the blocks of the ring by sequence number, reading many at once.
/// One block is asked for at a time: the next call may read over the last one's memory.
class JournalReader {
 public:
  JournalReader(PbnDevice device, const JournalRing& ring);

  /// What has been read with others before is there without a coroutine: tens of thousands that end
  /// at once, one after the other, would deepen the stack wherever there are no tail calls.
  class [[nodiscard]] Awaiter {
   public:
    Awaiter(JournalReader& reader, std::uint64_t place) : reader_(reader), place_(place) {}
    [[nodiscard]] bool await_ready() const { return reader_.has(place_); }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiter) {
      reading_.emplace(reader_.read(place_));
      return std::move(*reading_).operator co_await().await_suspend(waiter);
    }
    Result<ConstBytes> await_resume() {
      if (reading_) {
        auto done = std::move(*reading_).operator co_await().await_resume();
        if (!done) return std::move(done).error();
      }
      return reader_.at(place_);
    }

   private:
    JournalReader& reader_;
    std::uint64_t place_;
    std::optional<Task<Result<void>>> reading_;
  };
  /// co_await reader.block(sequence): what lies at the place of block `sequence`; valid until the
  /// next call. The block need not be that one: see is_journal_block().
  Awaiter block(JournalSequence sequence) { return {*this, sequence.value() % ring_.size}; }
  [[nodiscard]] const JournalRing& ring() const { return ring_; }

 private:
  [[nodiscard]] bool has(std::uint64_t place) const {
    return place >= first_ && place - first_ < count_;
  }
  [[nodiscard]] ConstBytes at(std::uint64_t place) const { return chunk_.block(place - first_); }
  /// The block at `place`, and many behind it.
  Task<Result<void>> read(std::uint64_t place);

  PbnDevice device_;
  JournalRing ring_;
  AlignedMemory chunk_;
  std::uint64_t first_ = 0;  // place of the chunk's first block
  std::uint64_t count_ = 0;
};

/// Looks at the whole ring. io if it cannot be read.
Task<Result<JournalExtent>> find_journal_extent(PbnDevice device, const JournalRing& ring,
                                                const SuperBlock& super_block);

/// What a recovery may use of the journal; it may be damaged. io if it cannot be read.
Task<Result<UsableJournal>> find_usable_journal(PbnDevice device, const JournalRing& ring,
                                                const SuperBlock& super_block);

/// Asked, before it is taken, whether there is so much memory, in bytes.
using MemoryCheck = std::function<Result<void>(std::uint64_t)>;

/// What the journal means for readers. unsupported: it is of an old form that only a rebuild reads.
Task<Result<JournalView>> view_journal(PbnDevice device, const JournalRing& ring,
                                       const SuperBlock& super_block,
                                       const MemoryCheck& has_memory);

}  // namespace uvdo
