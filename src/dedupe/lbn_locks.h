// SPDX-License-Identifier: GPL-2.0-or-later
// Who writes which logical block right now. A block has one writer at a time, the others wait in
// order; a reader is given the writer's data as soon as the write has been accepted.
// (behaviour.md, 3: the locks on logical blocks.)
//
// What holds here: an lbn in the table has exactly one holder, and unlock() hands it to the next in
// line without its being free in between, so that nobody overtakes. A slot goes with the lbn and
// not with the holder; what it says (data, hurry) is the present holder's. Waiters are links in
// their own frames, so waiting takes no memory.
#pragma once

#include <algorithm>
#include <coroutine>
#include <cstdint>
#include <vector>

#include "async/wait_queue.h"
#include "base/block_types.h"
#include "base/flat_map.h"
#include "dedupe/hurry.h"

namespace uvdo {

class LbnLocks {
 public:
  /// Takes the memory for `blocks` that are locked at once now.
  LbnLocks(Executor& executor, std::size_t blocks)
      : executor_(executor), freed_(executor), index_(std::min(blocks, kUsual)) {
    index_.reserve(blocks);
    slots_.reserve(blocks);
    free_slots_.reserve(blocks);
  }
  ~LbnLocks() { check(index_.empty(), "logical blocks are still locked"); }

  class Awaiter {
   public:
    Awaiter(LbnLocks& locks, Lbn lbn) : locks_(locks), lbn_(lbn) {}
    bool await_ready() { return locks_.try_lock(lbn_); }
    void await_suspend(std::coroutine_handle<> handle) {
      handle_ = handle;
      locks_.enqueue(*this);
    }
    static void await_resume() {}

   private:
    friend class LbnLocks;
    LbnLocks& locks_;
    Lbn lbn_;
    Awaiter* next_ = nullptr;
    std::coroutine_handle<> handle_{};
  };

  /// co_await locks.lock(lbn): waits for its turn. Several blocks are locked in ascending order.
  [[nodiscard]] Awaiter lock(Lbn lbn) { return {*this, lbn}; }
  /// The lock, if nobody has it.
  [[nodiscard]] bool try_lock(Lbn lbn);
  /// Gives the lock to the next in line.
  void unlock(Lbn lbn);

  /// From now on readers get `data` (4096 bytes), which the holder keeps until unlock().
  void publish(Lbn lbn, const std::byte* data) { holder(lbn).data = data; }
  /// What a reader must be given instead of what the map says; nullptr if there is nothing.
  [[nodiscard]] const std::byte* published(Lbn lbn) {
    if (index_.empty()) return nullptr;
    const std::uint32_t* slot = index_.find(lbn.value());
    return slot == nullptr ? nullptr : slots_[*slot].data;
  }
  /// Says that the holder is waiting for company (in the packer) and can be asked to hurry.
  void set_hurry(Lbn lbn, Hurry* hurry) { holder(lbn).hurry = hurry; }
  [[nodiscard]] bool is_locked(Lbn lbn) { return index_.find(lbn.value()) != nullptr; }
  [[nodiscard]] bool has_waiters(Lbn lbn) { return holder(lbn).first != nullptr; }

  /// Waits until every write of a block in [first, last) that holds a lock now has ended.
  Task<void> drain(Lbn first, Lbn last);
  [[nodiscard]] std::size_t size() const { return index_.size(); }

 private:
  static constexpr std::size_t kUsual = 2048;
  static constexpr std::uint64_t kShortRange = 1024;
  struct Slot {
    const std::byte* data = nullptr;
    Hurry* hurry = nullptr;
    Awaiter* first = nullptr;
    Awaiter** last = nullptr;
    // A number from a counter that each taking of a lock advances: who holds since before a moment
    // has a number from before.
    std::uint64_t generation = 0;  // of the holder
  };
  [[nodiscard]] Slot& holder(Lbn lbn) {
    const std::uint32_t* slot = index_.find(lbn.value());
    check(slot != nullptr, "the logical block is not locked");
    return slots_[*slot];
  }
  /// Behind all others that wait for the same block.
  void enqueue(Awaiter& waiter);

  Executor& executor_;
  WaitQueue freed_;
  FlatMap<std::uint32_t> index_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::uint64_t generation_ = 0;
};

}  // namespace uvdo
