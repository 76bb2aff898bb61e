// SPDX-License-Identifier: GPL-2.0-or-later
#include "volume/write_admission.h"

#include <cerrno>

#include <fmt/core.h>

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

WriteAdmission::WriteAdmission(Executor& executor, RoomGate& gate, std::string device,
                               const VolumeLife& life, Entrance& entrance,
                               BufferPool& client_buffers, ErrorStatistics& errors, LogFunction log)
    : executor_(executor),
      gate_(gate),
      device_(std::move(device)),
      life_(life),
      entrance_(entrance),
      client_buffers_(client_buffers),
      errors_(errors),
      log_(std::move(log)) {
  gate_.on_state([this](RoomGate::State state) { changed(state); });
}

Task<Result<void>> WriteAdmission::admit_write() {
  // Held at the door: nothing of the write has begun.
  while (gate_.state() == RoomGate::State::waiting && !life_.is_leaving()) {
    co_await gate_.changed().wait();
  }
  // The gate refuses, or the volume ends while there is no room.
  if (gate_.is_open()) co_return Result<void>();
  ++errors_.no_space_error_count;
  co_return Refusal::error();
}

void WriteAdmission::changed(RoomGate::State state) {
  const int error = gate_.last_error();
  const std::string cause =
      fmt::format("there is no room beneath the volume for a write to {} ({})", device_,
                  errno_error(error, "write").message());
  switch (state) {
    case RoomGate::State::open:
      client_buffers_.set_refusing(false);
      log_({LogLevel::notice,
            fmt::format("there is room beneath the volume again, after {}: all that waited is "
                        "written",
                        seconds_text(executor_.now() - gate_.short_since()))});
      return;
    case RoomGate::State::waiting:
      log_({LogLevel::warning,
            fmt::format("{}: {}; what was written waits in memory, and new writes are held back "
                        "for {}",
                        cause, advice_for(error), seconds_text(gate_.time_limit()))});
      return;
    // This comes again from time to time, so that requests that have waited too long meanwhile are
    // answered as well; the line is logged once.
    case RoomGate::State::refusing:
      if (!client_buffers_.is_refusing()) {
        log_({LogLevel::error,
              fmt::format("{} since {}: writes fail now, reads and discards go on; {}, and all "
                          "goes on by itself",
                          cause, seconds_text(executor_.now() - gate_.short_since()),
                          advice_for(error))});
      }
      refuse(executor_.now() - gate_.time_limit());
      return;
    case RoomGate::State::given_up:
      log_({LogLevel::error, fmt::format("{}: given up after {}", cause,
                                         seconds_text(executor_.now() - gate_.short_since()))});
      refuse(executor_.now());
      return;
  }
}

void WriteAdmission::refuse(TimePoint began_before) {
  // A connection that waits for a buffer would keep its reads from being answered as well.
  client_buffers_.set_refusing(true);
  entrance_.patient().refuse(began_before);
  on_refusal_();
}

}  // namespace uvdo
