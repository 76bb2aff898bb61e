// SPDX-License-Identifier: GPL-2.0-or-later
// Watches a served volume: looks at its space once a second, says in the log and to a command of
// the user what has happened to it since (also what is over again), and knows what the volume is
// doing.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "async/uring_loop.h"
#include "base/log.h"
#include "device/backing_state.h"
#include "device/device_activity.h"
#include "volume/volume.h"
#include "watch/activity.h"
#include "watch/hook.h"
#include "watch/space_watch.h"

namespace uvdo {

/// On the volume's thread. run() once; stop(), and run() has to be awaited before this is
/// destroyed.
class VolumeMonitor {
 public:
  struct Settings {
    std::string volume;           ///< what people call it
    std::vector<unsigned> marks;  ///< percents of the room for data
    Hook::Settings hook;          ///< run when a mark is passed
    std::function<DeviceActivity()> device = [] { return DeviceActivity{}; };
    /// Looks at the file or disk beneath, and tells what has become of it.
    std::function<void()> look_beneath = [] {};
    std::function<std::optional<BackingState>()> backing = [] {
      return std::optional<BackingState>();
    };
    /// How many are connected to all front ends.
    std::function<std::uint64_t()> clients = [] { return std::uint64_t{0}; };
  };

  VolumeMonitor(Executor& executor, Volume& volume, const RequestTimes& times, Settings settings,
                LogFunction log);

  /// Watches until stop().
  Task<void> run();
  /// Ends run() soon, after a last look.
  void stop();
  /// Takes other watermarks, and another command for them, from now on.
  void set_marks(std::vector<unsigned> marks) { space_.set_marks(std::move(marks)); }
  void set_command(std::string command) { hook_.set_command(std::move(command)); }

  /// What the volume has done and does, as of now.
  [[nodiscard]] Activity activity() const;
  [[nodiscard]] const SpaceWatch& space() const { return space_; }
  /// What the volume counts, with the requests of clients that are under way and the failures of
  /// the device.
  [[nodiscard]] VolumeStatistics statistics() const;

 private:
  /// Notes how much is used and tells what has happened since the last look.
  void look();
  /// Blocks that data can still take, with what the file system beneath has for them.
  [[nodiscard]] std::uint64_t blocks_left(const VolumeStatistics& s, std::uint64_t room,
                                          std::uint64_t used) const;
  /// One event, in the log and to the hook. `used`, `room`: blocks.
  void tell(SpaceEvent event, std::uint64_t used, std::uint64_t room);

  Executor& executor_;
  Volume& volume_;
  const RequestTimes& times_;
  Settings settings_;
  LogFunction log_;
  SpaceWatch space_;
  Hook hook_;
  TimePoint started_;
  Alarm alarm_;
  bool stopping_ = false;
};

}  // namespace uvdo
