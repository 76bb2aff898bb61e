// SPDX-License-Identifier: GPL-2.0-or-later
// The switch to read-only mode: thrown by whatever part meets an error that it cannot undo, seen
// by all others (behaviour.md, 10).
//
// There is no way back for as long as the volume is open: only a rebuild makes it writable again.
// Whoever is about to change something asks is_read_only() first; whoever waits is woken by the
// part that it waits in and asks again.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/result.h"

namespace uvdo {

class ReadOnlyNotifier {
 public:
  [[nodiscard]] bool is_read_only() const { return reason_.has_value(); }
  /// Why. Needs is_read_only().
  [[nodiscard]] const Error& reason() const { return *reason_; }
  /// The error that a request gets which cannot be done any more.
  [[nodiscard]] Error error() const {
    return {Errc::io, "the volume is in read-only mode: " + reason_->message()};
  }
  /// Enters read-only mode; only the first reason counts.
  void enter(const Error& reason) {
    if (reason_) return;
    reason_.emplace(reason.clone());
    if (on_enter_) on_enter_(*reason_);
  }
  /// Calls `f` once, when the mode is entered.
  void on_enter(std::function<void(const Error&)> f) { on_enter_ = std::move(f); }

 private:
  std::optional<Error> reason_;
  std::function<void(const Error&)> on_enter_;
};

}  // namespace uvdo
