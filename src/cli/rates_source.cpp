// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/rates_source.h"

#include <cerrno>
#include <chrono>
#include <cstdlib>

#include <fmt/core.h>
#include <poll.h>
#include <unistd.h>

#include "control/statistics_message.h"

namespace uvdo {
namespace {

constexpr double kLeastInterval = 0.1;
constexpr double kMostInterval = 3600;

std::string scaled(double number, double step, std::string_view units) {
  std::size_t unit = 0;
  // What would be rounded up to 1000 (or 1024) has the next unit.
  while (number >= step * 0.9995 && unit + 1 < units.size()) {
    number /= step;
    ++unit;
  }
  const std::string suffix = units[unit] == ' ' ? "" : std::string(1, units[unit]);
  const bool whole = number >= 100 || (unit == 0 && number >= 10) || number == 0;
  return fmt::format("{:.{}f}{}", number, whole ? 0 : 1, suffix);
}

}  // namespace

Result<Snapshot> take_snapshot(const ServedVolume& served) {
  auto answer = served.ask(StatisticsRequest{true});
  if (!answer) return std::move(answer).error();
  if (!answer->activity) return strange_answer();
  return Snapshot{std::move(answer->statistics), std::move(*answer->activity)};
}

std::string short_number(double number) { return scaled(number, 1000, " kMG"); }

std::string short_bytes(double bytes) { return scaled(bytes, 1024, "BKMGTP"); }

std::string short_time(double microseconds) {
  if (microseconds <= 0) return "-";
  if (microseconds < 999.5) return fmt::format("{:.0f}us", microseconds);
  const double ms = microseconds / 1000;
  if (ms < 999.5) return fmt::format("{:.{}f}ms", ms, ms < 99.95 ? 1 : 0);
  return fmt::format("{:.1f}s", ms / 1000);
}

Result<double> parse_interval(const std::string& text) {
  char* end = nullptr;
  const double seconds = std::strtod(text.c_str(), &end);
  if (text.empty() || end != text.c_str() + text.size() ||
      !(seconds >= kLeastInterval && seconds <= kMostInterval)) {
    return Error(Errc::invalid_argument,
                 fmt::format("the interval is \"{}\"; it takes 0.1 to 3600 seconds: less would "
                             "measure the watching itself",
                             text));
  }
  return seconds;
}

char wait_for_key(double seconds, bool keys) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (true) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return 0;
    pollfd input{STDIN_FILENO, POLLIN, 0};
    const int ready = poll(&input, keys ? 1 : 0, static_cast<int>(left.count()));
    // A signal, such as the new size of a window: the caller looks again.
    if (ready < 0 && errno == EINTR) return 0;
    if (ready <= 0) continue;
    char key = 0;
    if (read(STDIN_FILENO, &key, 1) == 1) return key;
    keys = false;  // it has been closed
  }
}

}  // namespace uvdo
