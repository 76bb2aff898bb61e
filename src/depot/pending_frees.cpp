// SPDX-License-Identifier: GPL-2.0-or-later
#include "depot/pending_frees.h"

namespace uvdo {

void PendingFrees::add_group(std::uint64_t number, std::uint64_t blocks, JournalPoint point,
                             ReadEpochs::Epoch epoch) {
  blocks_ += static_cast<std::uint64_t>(std::popcount(blocks));
  Group& group = groups_.insert(number, Group{});
  check((group.pending & blocks) == 0, "a block is freed that is about to become free");
  group.pending |= blocks;
  // With the last record, if no reader has come between: the later point holds for all of its
  // blocks, which makes the older ones wait a little longer and none too short.
  if (!records_.empty() && records_.back().group == number && records_.back().epoch == epoch) {
    Record& last = records_.back();
    last.blocks |= blocks;
    last.point = point;
    // All of its blocks may have been taken up, and the group have been forgotten.
    group.newest = first_ + records_.size() - 1;
    return;
  }
  records_.push_back({number, blocks, point, epoch, group.newest});
  group.newest = first_ + records_.size() - 1;
}

void PendingFrees::take_up(Pbn pbn) {
  const std::uint64_t bit = bit_of(pbn);
  Group* group = groups_.find(group_of(pbn));
  check(group != nullptr && (group->pending & bit) != 0, "the block is not about to become free");
  // From the group's newest record back to the one that has the block.
  Record* record = &records_[group->newest - first_];
  while ((record->blocks & bit) == 0) {
    check(record->previous >= first_, "a block without its record");
    record = &records_[record->previous - first_];
  }
  record->blocks &= ~bit;
  --blocks_;
  group->pending &= ~bit;
  if (group->pending == 0) {
    groups_.erase(group_of(pbn));
    return;
  }
  // Records without blocks are not looked at again, so that a block which comes and goes does not
  // leave a long way behind it.
  while (records_[group->newest - first_].blocks == 0) {
    group->newest = records_[group->newest - first_].previous;
  }
}

}  // namespace uvdo
