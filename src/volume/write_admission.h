// SPDX-License-Identifier: GPL-2.0-or-later
// What a volume does where there is no room beneath it: its file system is full, or the pool of a
// thin disk. Writes of the volume wait in its RoomGate, with what clients were told is written; new
// ones are held back, and fail after a while. Reads and discards go on.
#pragma once

#include <functional>
#include <string>

#include "base/log.h"
#include "device/room_gate.h"
#include "volume/entrance.h"
#include "volume/volume_buffers.h"

namespace uvdo {

/// It follows RoomGate's state: open, waiting (writes are held at the door), refusing (they fail at
/// once, and requests that have waited too long are answered), given_up (a start or a stop has lost
/// its patience).
class WriteAdmission {
 public:
  /// `device`: what people call it.
  WriteAdmission(Executor& executor, RoomGate& gate, std::string device, const VolumeLife& life,
                 Entrance& entrance, BufferPool& client_buffers, ErrorStatistics& errors,
                 LogFunction log);
  WriteAdmission(const WriteAdmission&) = delete;
  WriteAdmission& operator=(const WriteAdmission&) = delete;

  RoomGate& gate() { return gate_; }
  [[nodiscard]] bool is_open() const { return gate_.is_open(); }
  [[nodiscard]] bool is_given_up() const { return gate_.state() == RoomGate::State::given_up; }

  /// Holds a write back until there is room; no_space after the time limit, or if the volume ends.
  Task<Result<void>> admit_write();
  /// When a request began that is to be answered after the time limit if there is no room; of one
  /// that comes where there is, before all others.
  [[nodiscard]] TimePoint request_time() const {
    return gate_.is_open() ? TimePoint::min() : executor_.now();
  }
  /// Called when writes are not waited for any more.
  void on_refusal(std::function<void()> f) { on_refusal_ = std::move(f); }

 private:
  void changed(RoomGate::State state);
  void refuse(TimePoint began_before);

  Executor& executor_;
  RoomGate& gate_;
  std::string device_;
  const VolumeLife& life_;
  Entrance& entrance_;
  BufferPool& client_buffers_;
  ErrorStatistics& errors_;
  LogFunction log_;
  std::function<void()> on_refusal_ = [] {};
};

}  // namespace uvdo
