// SPDX-License-Identifier: GPL-2.0-or-later
#include "vdo/messages.h"

#include <array>
#include <cerrno>
#include <ctime>

#include <fcntl.h>
#include <fmt/core.h>
#include <syslog.h>
#include <unistd.h>

#include "base/file_checks.h"
#include "base/print.h"
#include "base/printable.h"

namespace uvdo {
namespace {

constexpr const char* kName = "vdo";

std::string_view level_of(int priority) {
  switch (priority) {
    case LOG_ERR: return "ERROR";
    case LOG_WARNING: return "WARNING";
    default: return "INFO";
  }
}

std::string local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  std::array<char, 32> text{};
  if (localtime_r(&now, &parts) == nullptr) return {};
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &parts)};
}

}  // namespace

Result<Messages> Messages::open(const Settings& settings) {
  openlog(kName, LOG_PID, LOG_USER);
  Messages messages(settings.is_verbose);
  if (settings.log_file.empty()) return messages;
  auto opened = open_checked(settings.log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
                             FileKind::regular, 0644);
  if (!opened) return std::move(opened).error().within("the log file");
  messages.log_file_ = std::move(*opened);
  return messages;
}

void Messages::tell(int priority, std::string_view text) const {
  const std::string line = fmt::format("{} - {}", level_of(priority), printable(text));
  // Warnings and errors are told to the system's log always.
  if (log_file_.get() < 0 || priority <= LOG_WARNING) syslog(priority, "%s", line.c_str());
  if (log_file_.get() < 0) return;
  const std::string entry = fmt::format("{} {}[{}]: {}\n", local_time(), kName, getpid(), line);
  // A log that takes no more must not stop what it tells of.
  [[maybe_unused]] const auto written = write(log_file_.get(), entry.data(), entry.size());
}

void Messages::progress(std::string_view text) const {
  print("{}\n", text);
  info(text);
}

void Messages::info(std::string_view text) const { tell(LOG_INFO, text); }

void Messages::warn(std::string_view text) const {
  print_error("{}: WARNING - {}\n", kName, text);
  tell(LOG_WARNING, text);
}

void Messages::error(std::string_view text) const {
  print_error("{}: ERROR - {}\n", kName, text);
  tell(LOG_ERR, text);
}

void Messages::error(const Failure& failure) const {
  error(failure.message);
  if (!failure.cause.empty()) error(failure.cause);
}

void Messages::command(const std::vector<std::string>& words) const {
  if (!is_verbose_) return;
  std::string line = "   ";
  for (const std::string& word : words) line += " " + word;
  print("{}\n", line);
}

}  // namespace uvdo
