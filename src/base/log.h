// SPDX-License-Identifier: GPL-2.0-or-later
// Lines for people about what goes on, with a level. Who has something to say takes a LogFunction;
// the server gives it a Log, which knows where lines go and which of them are wanted.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log_writer.h"
#include "base/result.h"

namespace uvdo {

/// The numbers are those of syslog(3).
enum class LogLevel : std::uint8_t { error = 3, warning = 4, notice = 5, info = 6, debug = 7 };

[[nodiscard]] std::string_view name_of(LogLevel level);
/// invalid_argument names the levels that there are.
Result<LogLevel> parse_log_level(std::string_view text);

/// One line. For who does not care about levels it is its text.
struct LogLine {
  LogLine(std::string words) : text(std::move(words)) {}  // NOLINT(*-explicit-*)
  LogLine(const char* words) : text(words) {}             // NOLINT(*-explicit-*)
  LogLine(LogLevel how, std::string words) : level(how), text(std::move(words)) {}
  operator std::string() const { return text; }  // NOLINT(*-explicit-*)

  LogLevel level = LogLevel::info;
  std::string text;
  /// What programs want to know of it, by name: only in structured logs.
  std::vector<std::pair<std::string, std::string>> fields{};
};

using LogFunction = std::function<void(LogLine)>;

class Log {
 public:
  enum class Format : std::uint8_t {
    plain,    ///< the text
    journal,  ///< the text behind "<N>", N being its level: systemd's journal understands that
    json,     ///< an object with time, level, message and fields
  };

  /// Writes to `fd`, which stays open as long as the process runs. An error if the thread for that
  /// cannot be started.
  static Result<std::unique_ptr<Log>> start(int fd, Format format, LogLevel level);

  /// Queues the line, if its level is wanted; never waits (log_writer.h).
  void write(const LogLine& line) const;
  void set_level(LogLevel level) { level_ = level; }
  [[nodiscard]] LogLevel level() const { return level_; }

  /// `journal` if `fd` leads to systemd's journal (JOURNAL_STREAM says so), else `plain`.
  static Format format_for(int fd);
  /// "auto" (what format_for says), "plain", "journal", "json".
  static Result<Format> parse_format(std::string_view text, int fd);

 private:
  Log(std::unique_ptr<LogWriter> writer, Format format, LogLevel level)
      : writer_(std::move(writer)), format_(format), level_(level) {}

  std::unique_ptr<LogWriter> writer_;
  Format format_;
  LogLevel level_;
};

/// The bytes of a line as `format` wants them, newline included; `time_us` since 1970.
[[nodiscard]] std::string encode(const LogLine& line, Log::Format format, std::uint64_t time_us);

}  // namespace uvdo
