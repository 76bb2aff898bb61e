// SPDX-License-Identifier: GPL-2.0-or-later
// Who reads physical blocks right now. A block that is freed while somebody may still read it is
// not given out again before all who began to read earlier have ended; who begins later does not
// find it any more, and is not waited for.
//
// It says nothing about which block a reader reads: a reader that lasts long keeps back all that is
// freed after it began.
#pragma once

#include <functional>
#include <utility>

#include "base/generations.h"

namespace uvdo {

class ReadEpochs {
 public:
  using Epoch = Generations::Number;

  /// Takes the memory for `count` epochs that last at once now.
  void reserve(std::size_t count) { readers_.reserve(count); }

  /// A reader begins; it gives the number back with leave().
  Epoch enter() { return readers_.enter(); }
  void leave(Epoch epoch) {
    if (readers_.leave(epoch) && on_over_) on_over_();
  }
  /// Something was freed: only readers of the returned epoch and of earlier ones, all of whom have
  /// begun by now, may see it.
  Epoch retire() { return readers_.close(); }
  /// Whether all readers of `epoch` and earlier have ended.
  [[nodiscard]] bool is_over(Epoch epoch) const { return readers_.is_over(epoch); }

  /// Calls `f` whenever an epoch is over that was not before.
  void on_over(std::function<void()> f) { on_over_ = std::move(f); }

 private:
  std::function<void()> on_over_;
  Generations readers_;
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
