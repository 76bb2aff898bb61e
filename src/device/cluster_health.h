// SPDX-License-Identifier: GPL-2.0-or-later
// What a cluster says is wrong with it, asked for now and then. Who is asked may not answer, so
// each question is put in a thread of its own.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "device/rbd_health.h"

namespace uvdo {

/// Of one thread. The question that is under way outlives it.
class ClusterHealth {
 public:
  using Clock = std::chrono::steady_clock;
  /// Is called in another thread, and owns all that it uses.
  using Question = std::function<Result<RbdHealth>()>;

  explicit ClusterHealth(Question question);

  /// Asks anew, unless that was done less than `interval` before `now`, or the last question has
  /// not been answered.
  void ask(Clock::time_point now, std::chrono::seconds interval);
  /// The last answer; nothing until there is one.
  [[nodiscard]] const std::optional<Result<RbdHealth>>& answer();

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
  std::optional<Clock::time_point> asked_;
  std::optional<Result<RbdHealth>> answer_;
};

}  // namespace uvdo
