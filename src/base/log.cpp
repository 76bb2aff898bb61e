// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/log.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <ctime>

#include <fmt/core.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/printable.h"

namespace uvdo {
namespace {

constexpr std::array kLevels{LogLevel::error, LogLevel::warning, LogLevel::notice, LogLevel::info,
                             LogLevel::debug};

std::string in_quotes(std::string_view text) { return json_text(Json(text)); }

/// In UTC, as of RFC 3339.
std::string time_text(std::uint64_t time_us) {
  const auto seconds = static_cast<std::time_t>(time_us / 1'000'000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     time_us % 1'000'000);
}

std::uint64_t now_us() {
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(since_1970).count());
}

}  // namespace

std::string_view name_of(LogLevel level) {
  switch (level) {
    case LogLevel::error: return "error";
    case LogLevel::warning: return "warning";
    case LogLevel::notice: return "notice";
    case LogLevel::info: return "info";
    case LogLevel::debug: return "debug";
  }
  return "info";
}

Result<LogLevel> parse_log_level(std::string_view text) {
  for (const LogLevel level : kLevels) {
    if (text == name_of(level)) return level;
  }
  return Error(
      Errc::invalid_argument,
      fmt::format("the log level is error, warning, notice, info or debug, not \"{}\"", text));
}

std::string encode(const LogLine& line, Log::Format format, std::uint64_t time_us) {
  if (format == Log::Format::json) {
    std::string out = fmt::format(R"({{"time":"{}","level":"{}","message":{})", time_text(time_us),
                                  name_of(line.level), in_quotes(line.text));
    for (const auto& [name, value] : line.fields) {
      out += fmt::format(",{}:{}", in_quotes(name), in_quotes(value));
    }
    return out + "}\n";
  }
  std::string text = line.text;
  std::replace(text.begin(), text.end(), '\n', ' ');
  text = printable(text);  // it may hold names of files and words of clients
  if (format == Log::Format::plain) return text + '\n';
  // The prefix by which journald knows the level (sd-daemon(3)).
  return fmt::format("<{}>{}\n", static_cast<int>(line.level), text);
}

Result<std::unique_ptr<Log>> Log::start(int fd, Format format, LogLevel level) {
  // Called in the writer's thread, which may outlive the log: it has nothing of that.
  auto writer = LogWriter::start(fd, [format](std::uint64_t count) {
    LogLine line(LogLevel::warning,
                 fmt::format("{} line{} of the log before this one {} lost, because nobody took "
                             "them in time or they could not be written",
                             count, count == 1 ? "" : "s", count == 1 ? "is" : "are"));
    line.fields = {{"event", "log-lines-lost"}, {"lines", fmt::format("{}", count)}};
    return encode(line, format, now_us());
  });
  if (!writer) return std::move(writer).error();
  return std::unique_ptr<Log>(new Log(std::move(*writer), format, level));
}

void Log::write(const LogLine& line) const {
  if (line.level <= level_) writer_->put(encode(line, format_, now_us()));
}

Log::Format Log::format_for(int fd) {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat status {};
  if (stream == nullptr || fstat(fd, &status) != 0) return Format::plain;
  // Device and inode of the stream that the service manager made for us (systemd.exec(5)); of one
  // that was led elsewhere since they are others.
  const bool is_journal = fmt::format("{}:{}", status.st_dev, status.st_ino) == stream;
  return is_journal ? Format::journal : Format::plain;
}

Result<Log::Format> Log::parse_format(std::string_view text, int fd) {
  if (text == "auto") return format_for(fd);
  if (text == "plain") return Format::plain;
  if (text == "journal") return Format::journal;
  if (text == "json") return Format::json;
  return Error(Errc::invalid_argument,
               fmt::format("the log format is auto, plain, journal or json, not \"{}\"", text));
}

}  // namespace uvdo
