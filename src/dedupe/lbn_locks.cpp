// SPDX-License-Identifier: GPL-2.0-or-later
#include "dedupe/lbn_locks.h"

#include <algorithm>

namespace uvdo {
namespace {

/// Work to walk over the table of all locks.
constexpr std::uint64_t kUnitsPerWalk = 3000;

}  // namespace

bool LbnLocks::try_lock(Lbn lbn) {
  if (index_.find(lbn.value()) != nullptr) return false;
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const std::uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  slots_[slot] = Slot{};
  slots_[slot].generation = ++generation_;
  index_.insert(lbn.value(), slot);
  return true;
}

void LbnLocks::enqueue(Awaiter& waiter) {
  Slot& slot = holder(waiter.lbn_);
  if (slot.first == nullptr) slot.last = &slot.first;
  *slot.last = &waiter;
  slot.last = &waiter.next_;
  // A holder that waits in the packer for company would keep the waiter for as long.
  if (slot.hurry != nullptr) slot.hurry->hurry();
}

void LbnLocks::unlock(Lbn lbn) {
  const std::uint32_t* found = index_.find(lbn.value());
  check(found != nullptr, "the logical block is not locked");
  Slot& slot = slots_[*found];
  if (slot.first == nullptr) {
    free_slots_.push_back(*found);
    index_.erase(lbn.value());
  } else {
    Awaiter* next = slot.first;
    slot.first = next->next_;
    // The list's end may have been the link in the awaiter that leaves.
    if (slot.first == nullptr) slot.last = nullptr;
    // The data were those of the holder that leaves; from here on the map says what readers get,
    // until the next holder publishes its own.
    slot.data = nullptr;
    slot.hurry = nullptr;
    slot.generation = ++generation_;
    executor_.post(next->handle_);
  }
  if (!freed_.empty()) freed_.wake_all();
}

Task<void> LbnLocks::drain(Lbn first, Lbn last) {
  // Only who holds a lock at this moment is waited for: a block whose lock is handed on meanwhile
  // has a newer generation, so that a stream of writes to it does not keep the caller for ever.
  const std::uint64_t limit = generation_;
  while (true) {
    bool busy = false;
    const auto visit = [&](std::uint64_t lbn, std::uint32_t slot) {
      if (lbn < first.value() || lbn >= last.value()) return;
      if (slots_[slot].generation > limit) return;
      busy = true;
      if (slots_[slot].hurry != nullptr) slots_[slot].hurry->hurry();
    };
    // Asking for each block of a short range is less work than a walk over the table.
    if (index_.empty()) co_return;
    if (last.value() - first.value() <= kShortRange) {
      for (std::uint64_t lbn = first.value(); lbn < last.value(); ++lbn) {
        if (const std::uint32_t* slot = index_.find(lbn)) visit(lbn, *slot);
      }
    } else {
      co_await executor_.give_way();
      executor_.spend(kUnitsPerWalk);
      index_.for_each(visit);
    }
    if (!busy) co_return;
    co_await freed_.wait();
  }
}

}  // namespace uvdo
