// SPDX-License-Identifier: GPL-2.0-or-later
// What a volume does where there is no room beneath it: its file system is full, or the pool of a
// thin disk. Writes of the volume wait in room_, with what clients were told is written; new ones
// are held back, and fail after a while. Reads and discards go on.
#include <cerrno>

#include <fmt/core.h>

#include "base/size_text.h"
#include "volume/volume.h"

namespace uvdo {
namespace {

std::string_view advice_for(int error) {
  switch (error) {
    case EDQUOT: return "raise the quota, or delete files of its owner";
    case EFBIG: return "raise the limit of file sizes of this process (ulimit -f, prlimit --fsize)";
    default: return "delete or move other files there, or make it larger";
  }
}

std::string seconds_text(Duration duration) {
  return fmt::format("{} s", std::chrono::duration_cast<std::chrono::seconds>(duration).count());
}

}  // namespace

Task<Result<void>> Volume::admit_write() {
  while (room_.state() == RoomGate::State::waiting && !is_last_) co_await room_.changed().wait();
  if (room_.is_open()) co_return Result<void>();
  ++errors_.no_space;
  co_return Refusal::error();
}

void Volume::room_has_changed(RoomGate::State state) {
  const int error = room_.last_error();
  const std::string cause =
      fmt::format("there is no room beneath the volume for a write to {} ({})", store_.name(),
                  errno_error(error, "write").message());
  switch (state) {
    case RoomGate::State::open:
      buffers_.set_refusing(false);
      log_({LogLevel::notice,
            fmt::format("there is room beneath the volume again, after {}: all that waited is "
                        "written",
                        seconds_text(executor_.now() - room_.short_since()))});
      return;
    case RoomGate::State::waiting:
      log_({LogLevel::warning,
            fmt::format("{}: {}; what was written waits in memory, and new writes are held back "
                        "for {}",
                        cause, advice_for(error), seconds_text(room_.time_limit()))});
      return;
    case RoomGate::State::refusing:
      if (!buffers_.is_refusing()) {
        log_({LogLevel::error,
              fmt::format("{} since {}: writes fail now, reads and discards go on; {}, and all "
                          "goes on by itself",
                          cause, seconds_text(executor_.now() - room_.short_since()),
                          advice_for(error))});
      }
      buffers_.set_refusing(true);
      patient_requests_.refuse(executor_.now() - room_.time_limit());
      break_suspension_off();
      return;
    case RoomGate::State::given_up:
      log_({LogLevel::error, fmt::format("{}: given up after {}", cause,
                                         seconds_text(executor_.now() - room_.short_since()))});
      buffers_.set_refusing(true);
      patient_requests_.refuse(executor_.now());
      break_suspension_off();
      return;
  }
}

/// One that has begun has met the same want of room, and may not keep reads waiting for it.
void Volume::break_suspension_off() {
  if (suspended_) return;
  requests_gate_.open_for_reads();
  if (hold_.is_closed()) hold_.open();
}

Error Volume::given_up_error() const {
  constexpr std::string_view kNext =
      "It is left as after a power cut (DIRTY): make room beneath it and start it again";
  if (all_committed_ && lost_.empty()) {
    return {Errc::no_space,
            fmt::format("the volume could not be saved, because there is no room beneath it; all "
                        "that was written to it is there. {}",
                        kNext)};
  }
  return {Errc::no_space,
          fmt::format("there was no room beneath the volume for what was written last: {} blocks "
                      "that clients were told are written are lost, and what else no flush has "
                      "covered may be; what flushes have covered is there. {}",
                      grouped(lost_.size()), kNext)};
}

}  // namespace uvdo
