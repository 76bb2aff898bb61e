// SPDX-License-Identifier: GPL-2.0-or-later
// Writes lines to a file descriptor by a thread of its own, so that who logs never waits: not for a
// full pipe, a stalled journal, a stopped terminal or a slow disk. What finds no room is lost, and
// a line says later how many were. (Making the descriptor itself non-blocking would make it so for
// all processes that have inherited it.)
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace uvdo {

class LogWriter {
 public:
  /// The line that says that `count` lines are missing, its newline included.
  using LostLines = std::function<std::string(std::uint64_t count)>;
  /// Bytes of lines that wait to be written.
  static constexpr std::size_t kRoom = 256U << 10U;

  /// Starts the thread. `fd` belongs to the caller, and is open as long as the process runs: the
  /// thread may be stuck in a write to it.
  static Result<std::unique_ptr<LogWriter>> start(int fd, LostLines lost_lines,
                                                  std::size_t room = kRoom);
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;
  /// Gives the lines that wait a second to be written.
  ~LogWriter();

  /// Queues a line, its newline included, or counts it as lost. Any thread may call it.
  void put(std::string_view line);

 private:
  struct State;
  explicit LogWriter(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

}  // namespace uvdo
