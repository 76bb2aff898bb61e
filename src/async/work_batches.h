// SPDX-License-Identifier: GPL-2.0-or-later
// Pieces of work that take less than a microsecond each. Where many come together the work thread
// gets a share of them, in batches, since the way there and back costs as much as a piece.
#pragma once

#include <atomic>
#include <cstdint>

#include "async/task.h"
#include "async/uring_loop.h"

namespace uvdo {

class WorkThread;

class WorkBatches {
 public:
  /// Its owner keeps it in place from add() on until `back` is called.
  struct Piece {
    void (*work)(Piece&) = nullptr;  ///< does it, in either thread
    void (*back)(Piece&) = nullptr;  ///< called at home when it is done, never inside add()
    Piece* next = nullptr;
  };

  WorkBatches(WorkThread& work, UringLoop& home) : work_(work), home_(home) {}
  WorkBatches(const WorkBatches&) = delete;
  WorkBatches& operator=(const WorkBatches&) = delete;
  ~WorkBatches();

  /// Counts a piece of this turn: whether to add() it. If not, they are so few that its owner does
  /// it at once.
  [[nodiscard]] bool wants_next() {
    if (turn_ != home_.turn()) {
      turn_ = home_.turn();
      seen_ = 0;
    }
    return ++seen_ > kFew;
  }
  void add(Piece& piece);

  [[nodiscard]] UringLoop& home() { return home_; }

 private:
  /// So many pieces of a turn are done by their owners.
  static constexpr unsigned kFew = 16;
  /// So many travel together.
  static constexpr unsigned kBatch = 32;
  /// Fewer that are left at the end of a turn are done at home.
  static constexpr unsigned kWorthTheWay = 8;
  /// Batches that the thread has before it at most: another when it is through with one, but no
  /// more, since what it has nobody else can do.
  static constexpr unsigned kMostAhead = 2;

  [[nodiscard]] bool may_send() const {
    return sent_ - done_.load(std::memory_order_relaxed) < kMostAhead;
  }
  /// Takes a batch off the list, of what there is if that is less.
  Piece* cut_batch();
  /// Sends off, or does, what the turn has left.
  Task<void> end_turn();
  /// To the work thread and back with a batch.
  Task<void> carry(Piece* first);

  WorkThread& work_;
  UringLoop& home_;
  std::uint64_t turn_ = 0;
  unsigned seen_ = 0;  // pieces in this turn
  Piece* first_ = nullptr;
  Piece** end_ = &first_;
  unsigned count_ = 0;  // of those that wait in the list
  bool ends_turn_ = false;
  unsigned away_ = 0;                   // batches
  std::uint64_t sent_ = 0;              // batches
  std::atomic<std::uint64_t> done_{0};  // of those, by the work thread
};

}  // namespace uvdo
