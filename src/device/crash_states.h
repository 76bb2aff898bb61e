// SPDX-License-Identifier: GPL-2.0-or-later
// Every disk that a power cut can leave behind: walks a recorded history of a simulated disk event
// by event, and builds the possible images at each point.
#pragma once

#include <cstdint>
#include <vector>

#include "async/sim_random.h"
#include "device/sim_device.h"

namespace uvdo {

/// How many images are built of those that are possible.
struct CrashStateOptions {
  /// Up to so many writes at risk, all subsets of them are built.
  std::size_t exhaustive_up_to = 8;
  /// With more of them: so many random subsets, beside none, all, and all but one.
  std::size_t samples = 64;
  /// So many images in which some write is torn inside a 4 KiB block.
  std::size_t torn_samples = 8;
};

/// Goes through a recording, which outlives it.
class CrashPoints {
 public:
  explicit CrashPoints(const SimRecording& recording)
      : recording_(recording), durable_(recording.start) {}

  /// Goes on behind the next event; false at the end. The first point is before all events.
  bool next();
  /// How many events have happened at this point.
  [[nodiscard]] std::size_t position() const { return position_; }
  /// Writes whose fate a crash at this point would decide.
  [[nodiscard]] std::size_t at_risk() const { return pending_.size(); }
  /// The images possible at this point, each once.
  [[nodiscard]] std::vector<SparseImage> states(const CrashStateOptions& options,
                                                SimRandom& random) const;

 private:
  /// A write that is not durable yet.
  struct Pending {
    std::uint64_t number = 0;
    std::uint64_t offset = 0;
    SimPayload payload;
    bool completed = false;
    bool fua = false;
  };
  /// A flush under way, and the writes that it makes durable when it completes.
  struct Flush {
    std::uint64_t number = 0;
    std::vector<std::uint64_t> covered;
  };
  /// The image in which write i survived in the sectors (of each block) of masks[i].
  [[nodiscard]] SparseImage build(const std::vector<std::uint8_t>& masks) const;

  const SimRecording& recording_;
  std::size_t position_ = 0;
  SparseImage durable_;
  std::vector<Pending> pending_;  // completed ones first in order of completion, then in flight
  std::vector<Flush> flushes_;
};

/// The images possible behind the first `position` events of `recording`.
[[nodiscard]] std::vector<SparseImage> crash_states(const SimRecording& recording,
                                                    std::size_t position,
                                                    const CrashStateOptions& options,
                                                    SimRandom& random);

}  // namespace uvdo
