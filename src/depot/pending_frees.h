// SPDX-License-Identifier: GPL-2.0-or-later
// Blocks that have lost their last reference and are not free yet: the journal entry that says so
// may not be stable, and somebody may still read what they hold (behaviour.md, 5.3). Blocks
// that stand together and were freed one after the other, no reader having come between, share a
// record, so that a discard of many costs little.
//
// What holds here: points and epochs of the records never decrease, so that the oldest record says
// whether any is done. A block is in one record at most. A group in groups_ has the blocks of all
// of its records, and those are linked from the newest back. Records are known by number: the
// oldest is first_, and the others follow in records_.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>

#include "base/block_types.h"
#include "base/check.h"
#include "base/flat_map.h"
#include "base/ring_queue.h"
#include "depot/read_epochs.h"
#include "format/journal_point.h"

namespace uvdo {

/// It only keeps the order and knows the blocks; what they wait for is asked by the depot.
class PendingFrees {
 public:
  /// Bytes that each of the records which reserve() makes room for takes, with its share of the
  /// epochs that it waits for.
  static constexpr std::uint64_t kBytesPerRecord = 240;

  /// Takes the memory for so many records now.
  void reserve(std::size_t records) {
    records_.reserve(records);
    groups_.reserve(records);
  }
  /// Blocks that become free in the end.
  [[nodiscard]] std::uint64_t size() const { return blocks_; }
  /// Whether nothing is waited for; also records whose blocks were all taken up are.
  [[nodiscard]] bool empty() const { return records_.empty(); }
  [[nodiscard]] std::size_t records() const { return records_.size(); }
  [[nodiscard]] bool contains(Pbn pbn) {
    const Group* group = groups_.find(group_of(pbn));
    return group != nullptr && (group->pending & bit_of(pbn)) != 0;
  }

  /// Lets the processor fetch what is known of the block's neighbours.
  void prefetch(Pbn pbn) const { groups_.prefetch(group_of(pbn)); }

  /// The block, which is not among them, becomes free when the entry at `point` is stable and the
  /// readers of `epoch` have ended. Neither is before those of the last call.
  void add(Pbn pbn, JournalPoint point, ReadEpochs::Epoch epoch) {
    add_group(group_of(pbn), bit_of(pbn), point, epoch);
  }
  /// The same for several blocks, at best in ascending order.
  class Several {
   public:
    Several(PendingFrees& frees, ReadEpochs::Epoch epoch) : frees_(frees), epoch_(epoch) {}
    Several(const Several&) = delete;
    Several& operator=(const Several&) = delete;
    ~Several() { finish(); }
    void add(Pbn pbn, JournalPoint point) {
      if (group_of(pbn) != group_) {
        finish();
        group_ = group_of(pbn);
        blocks_ = 0;
      }
      blocks_ |= bit_of(pbn);
      point_ = point;
    }

   private:
    void finish() {
      if (blocks_ != 0) frees_.add_group(group_, blocks_, point_, epoch_);
    }
    PendingFrees& frees_;
    ReadEpochs::Epoch epoch_;
    std::uint64_t group_ = 0;
    std::uint64_t blocks_ = 0;  // of the group, not yet added
    JournalPoint point_;
  };
  /// The block, which is among them, is used again.
  void take_up(Pbn pbn);

  /// What the oldest blocks wait for. Needs !empty().
  [[nodiscard]] JournalPoint oldest_point() const { return records_.front().point; }
  [[nodiscard]] ReadEpochs::Epoch oldest_epoch() const { return records_.front().epoch; }
  /// A block of the record that stands so many behind the oldest, if it has one: for a look ahead.
  [[nodiscard]] std::optional<Pbn> first_of(std::size_t record) const {
    if (record >= records_.size() || records_[record].blocks == 0) return std::nullopt;
    const Record& it = records_[record];
    return Pbn{it.group * kGroup + static_cast<unsigned>(std::countr_zero(it.blocks))};
  }
  /// What the newest ones wait for. Needs !empty().
  [[nodiscard]] JournalPoint newest_point() const { return records_.back().point; }
  /// Removes the oldest record and calls f(pbn) for its blocks that nobody has taken up.
  template <class F>
  void pop_oldest(F&& f) {
    const Record oldest = records_.front();
    records_.pop_front();
    ++first_;
    if (oldest.blocks == 0) return;
    Group* group = groups_.find(oldest.group);
    group->pending &= ~oldest.blocks;
    if (group->pending == 0) groups_.erase(oldest.group);
    blocks_ -= static_cast<std::uint64_t>(std::popcount(oldest.blocks));
    for (std::uint64_t left = oldest.blocks; left != 0; left &= left - 1) {
      f(Pbn{oldest.group * kGroup + static_cast<unsigned>(std::countr_zero(left))});
    }
  }

 private:
  static constexpr std::uint64_t kGroup = 64;  // blocks of a record

  /// Blocks of one group that wait for the same.
  struct Record {
    std::uint64_t group = 0;
    std::uint64_t blocks = 0;  // a bit each; none if all were taken up
    JournalPoint point;
    ReadEpochs::Epoch epoch = 0;
    std::uint64_t previous = 0;  // number of the group's record before; below first_: none
  };
  struct Group {
    std::uint64_t pending = 0;  // the blocks of all its records
    std::uint64_t newest = 0;   // number of its newest record
  };

  void add_group(std::uint64_t number, std::uint64_t blocks, JournalPoint point,
                 ReadEpochs::Epoch epoch);
  static std::uint64_t group_of(Pbn pbn) { return pbn.value() / kGroup; }
  static std::uint64_t bit_of(Pbn pbn) { return 1ULL << pbn.value() % kGroup; }

  RingQueue<Record> records_;
  std::uint64_t first_ = 1;  // number of the oldest record
  FlatMap<Group> groups_;    // with at least one block
  std::uint64_t blocks_ = 0;
};

}  // namespace uvdo
