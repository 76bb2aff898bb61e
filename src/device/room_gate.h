// SPDX-License-Identifier: GPL-2.0-or-later
// A device on storage that can be full: a sparse file on a file system without free space, a thin
// disk whose pool is used up, a quota or a limit of file sizes. A write that finds no room is not
// failed: it waits here, with its data where they are, and is tried again until there is some. Who
// uses the device takes it for slow, nothing more; who lets clients in looks at state().
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "async/executor.h"
#include "async/wait_queue.h"
#include "device/device.h"

namespace uvdo {

/// Whether `error` says that there is no room: ENOSPC, EDQUOT (a quota), EFBIG (a limit).
[[nodiscard]] bool is_no_room(int error);

class RoomGate final : public Device {
 public:
  enum class State : std::uint8_t {
    open,      ///< every write has found room
    waiting,   ///< some wait for room, since less than the time limit
    refusing,  ///< for longer
    given_up,  ///< they have failed with ENOSPC, and all later writes do
  };
  /// What is to be done about writes for which no room is found within the time limit.
  enum class Patience : std::uint8_t {
    endless,  ///< they go on waiting
    limited,  ///< they are given up, after ten seconds at most: it is the end, or the beginning, of
              ///< the device's use, and somebody waits for that
  };

  RoomGate(Executor& executor, Device& device, Duration time_limit, Patience patience)
      : executor_(executor),
        device_(device),
        time_limit_(time_limit),
        patience_(patience),
        changed_(executor) {}

  void submit(Request& request) override;
  [[nodiscard]] const std::string& name() const override { return device_.name(); }

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] bool is_open() const { return state_ == State::open; }
  /// Woken whenever the state has changed.
  [[nodiscard]] WaitQueue& changed() { return changed_; }
  /// Called with each new state, and from time to time while it is `refusing`.
  void on_state(std::function<void(State)> f) { on_state_ = std::move(f); }
  /// With `limited` the time limit begins anew now, if writes wait already.
  void set_patience(Patience patience);
  [[nodiscard]] Duration time_limit() const { return time_limit_; }
  /// For writes that wait already and are not refused yet it begins anew now.
  void set_time_limit(Duration limit);

  /// Writes that wait, and their bytes.
  [[nodiscard]] std::uint64_t waiting_writes() const { return waiting_writes_; }
  [[nodiscard]] std::uint64_t waiting_bytes() const { return waiting_bytes_; }
  /// How often it has begun that writes had to wait.
  [[nodiscard]] std::uint64_t shortages() const { return shortages_; }
  /// When it began the last time.
  [[nodiscard]] TimePoint short_since() const { return short_since_; }
  /// errno of the write that failed last for want of room.
  [[nodiscard]] int last_error() const { return last_error_; }

 private:
  struct Waiting;  // a write that waits, in its coroutine's frame
  /// A write, from submit() to its answer.
  detail::Detached carry_out(Request& request);
  /// It waits from now on; with the first one a shortage begins.
  void link(Waiting& waiting);
  /// It waits no longer; with the last one the shortage ends.
  void unlink(Waiting& waiting, bool found_room);
  [[nodiscard]] Duration pause_of_first() const;
  /// Of writes that begin to wait now.
  [[nodiscard]] TimePoint next_deadline() const;
  /// Refuses, or gives up, if the deadline has passed.
  void look_at_clock();
  /// Takes a state on, and tells whoever wants to know.
  void enter(State state);
  /// Lets the first `count` try again at once.
  void ring(std::uint64_t count);

  Executor& executor_;
  Device& device_;
  Duration time_limit_;
  Patience patience_;
  State state_ = State::open;
  WaitQueue changed_;
  std::function<void(State)> on_state_;
  // In the order in which they came. The first tries again and again, the others when one has
  // found room: a file system that is full need not be asked by all of them.
  Waiting* first_ = nullptr;
  Waiting* last_ = nullptr;
  Duration pause_{};              // before the first tries again
  std::uint64_t encouraged_ = 1;  // so many try when one has found room
  TimePoint short_since_{};
  TimePoint deadline_{};  // of the present state
  std::uint64_t waiting_writes_ = 0;
  std::uint64_t waiting_bytes_ = 0;
  std::uint64_t shortages_ = 0;
  int last_error_ = 0;
};

[[nodiscard]] std::string_view name_of(RoomGate::State state);

}  // namespace uvdo
