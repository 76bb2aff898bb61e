// SPDX-License-Identifier: GPL-2.0-or-later
// Who reads physical blocks right now. A block that is freed while somebody may still read it is
// not given out again before all who began to read earlier have ended.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "base/check.h"
#include "base/ring_queue.h"

namespace uvdo {

class ReadEpochs {
 public:
  using Epoch = std::uint64_t;

  ReadEpochs() { active_.push_back(0); }
  /// Takes the memory for `count` epochs that last at once now.
  void reserve(std::size_t count) { active_.reserve(count); }

  /// A reader begins; it gives the number back with leave().
  Epoch enter() {
    ++active_.back();
    return first_ + active_.size() - 1;
  }
  void leave(Epoch epoch) {
    check(epoch >= first_ && epoch - first_ < active_.size(), "no such read epoch");
    --active_[epoch - first_];
    const bool over = active_.front() == 0;
    while (active_.size() > 1 && active_.front() == 0) {
      active_.pop_front();
      ++first_;
    }
    if (over && on_over_) on_over_();
  }
  /// Something was freed: readers of the returned epoch and earlier may still see it.
  Epoch retire() {
    const Epoch epoch = first_ + active_.size() - 1;
    if (active_.back() != 0) active_.push_back(0);
    return epoch;
  }
  /// Whether all readers of `epoch` and earlier have ended.
  [[nodiscard]] bool is_over(Epoch epoch) const {
    return epoch < first_ || (epoch == first_ && active_.front() == 0);
  }

  /// Calls `f` whenever an epoch is over that was not before.
  void on_over(std::function<void()> f) { on_over_ = std::move(f); }

 private:
  std::function<void()> on_over_;
  Epoch first_ = 0;                  // the oldest that may have readers
  RingQueue<std::uint32_t> active_;  // readers by epoch; new ones join the last
};

/// A reader for the length of a scope.
class ReadGuard {
 public:
  explicit ReadGuard(ReadEpochs& epochs) : epochs_(epochs), epoch_(epochs.enter()) {}
  ReadGuard(const ReadGuard&) = delete;
  ReadGuard& operator=(const ReadGuard&) = delete;
  ~ReadGuard() { epochs_.leave(epoch_); }

 private:
  ReadEpochs& epochs_;
  ReadEpochs::Epoch epoch_;
};

}  // namespace uvdo
