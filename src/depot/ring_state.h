// SPDX-License-Identifier: GPL-2.0-or-later
// How far the journal of a slab has come (behaviour.md, 5.2, 5.3): five block numbers, each of
// which only ever grows, in this order:
//
//   durable_head   what is before it nobody needs, whatever a power cut takes: its places in the
//                  ring may be written over
//   named_head     the same, if the summary as it was last written is what a start finds; the next
//                  flush makes it the durable one
//   head           the counts on disk have all changes that are journaled before it; the next block
//                  that is written says so
//   named          the blocks before it are written, and the summary as it was last written names
//                  the last of them; those from here on are in memory only
//   next           the block that is being filled, or will be
//
// What is written lies between durable_head and named and fits into the ring.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/block_types.h"
#include "base/check.h"

namespace uvdo {

/// Numbers only: it reads and writes nothing, and is told what has happened to the disk.
class RingState {
 public:
  /// Of a slab that was never used; `blocks`: the size of the ring.
  explicit RingState(std::uint64_t blocks) : blocks_(blocks) {}

  [[nodiscard]] SlabSequence head() const { return head_; }
  [[nodiscard]] SlabSequence named() const { return named_; }
  [[nodiscard]] SlabSequence next() const { return next_; }
  /// The place of a block in the ring.
  [[nodiscard]] std::uint64_t place_of(SlabSequence block) const { return block.value() % blocks_; }
  /// Blocks that recovery may read, and those behind them up to the open one.
  [[nodiscard]] std::uint64_t in_use() const { return next_ - durable_head_; }
  /// The first block that must not be written yet, because its place is in use.
  [[nodiscard]] SlabSequence write_limit() const { return durable_head_ + blocks_; }

  // ---- a block's way

  /// The open block takes no more: the next one is filled from here on.
  void block_was_closed() { ++next_; }
  /// The oldest block in memory was written with `head` in it, and so was a summary that names it.
  void block_was_named(SlabSequence block, SlabSequence head) {
    named_ = block + 1;
    named_head_ = head;
  }
  /// Gives up the blocks that `holds(block)` denies, from the oldest on: the counts that they
  /// changed are stable.
  template <class F>
  void give_up(F&& holds) {
    while (head_ < named_ && !holds(head_)) ++head_;
  }
  /// A summary was written that says that the counts on disk hold all that the journal does.
  void was_named_clean() { named_head_ = next_; }
  /// The device was flushed after the summary was last written.
  void summary_is_durable() { durable_head_ = named_head_; }

  // ---- after a start

  /// The summary found on disk names the block before `next`, which leads to `head`.
  void load(SlabSequence head, SlabSequence next) {
    head_ = named_head_ = durable_head_ = head;
    named_ = next_ = next;
  }
  /// Recovery is going to fill `block`: what lies at its place had been given up before the crash.
  void take_place_of(SlabSequence block) {
    while (block - head_ >= blocks_) ++head_;
    named_head_ = std::max(named_head_, head_);
    durable_head_ = std::max(durable_head_, head_);
  }
  /// The counts on disk have all that the named blocks say, and a durable summary says so.
  void was_scrubbed() { head_ = named_head_ = durable_head_ = named_; }

  void check_invariants() const {
    check(durable_head_ <= named_head_, "a slab journal's durable head is before the named one");
    check(named_head_ <= head_, "a slab journal's named head is before the present one");
    check(head_ <= named_, "a slab journal gives up only what was named");
    check(named_ <= next_, "a slab journal names only what was closed");
    check(named_ - durable_head_ <= blocks_, "what is written of a slab journal fits its ring");
  }

 private:
  std::uint64_t blocks_;
  SlabSequence head_{1};
  SlabSequence durable_head_{1};
  SlabSequence named_head_{1};
  SlabSequence named_{1};
  SlabSequence next_{1};
};

}  // namespace uvdo
