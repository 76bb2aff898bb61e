// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/top.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <deque>
#include <string>
#include <vector>

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/print.h"
#include "base/size_text.h"
#include "cli/rates_source.h"
#include "cli/screen_layout.h"
#include "cli/served_volume.h"
#include "watch/health.h"

namespace uvdo {
namespace {

constexpr std::size_t kHistory = 60;

// Set by a signal's handler, which may do no more.
volatile std::sig_atomic_t interrupted = 0;

/// The terminal as a screen to draw on; as it was at the end.
class Screen {
 public:
  Screen() {
    has_keys_ = tcgetattr(STDIN_FILENO, &before_) == 0;
    if (has_keys_) {
      termios raw = before_;
      // ISIG stays: Ctrl-C is a signal, which ends it also where no key is waited for.
      raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
      tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    print_text("\x1b[?1049h\x1b[?25l");
  }
  ~Screen() {
    print_text("\x1b[?25h\x1b[?1049l");
    [[maybe_unused]] const auto ignored = finish_output();
    if (has_keys_) tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;
  [[nodiscard]] bool has_keys() const { return has_keys_; }

  /// Shows as much of the lines as there is room for. An error if the terminal is gone.
  static Result<void> draw(const std::vector<ScreenLine>& lines) {
    winsize size{};
    // Asked each time: the window may have another size by now.
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) {
      size = {24, 80, 0, 0};
    }
    // Drawn over what is there and in one go, so that it does not flicker: home, each line
    // erased to its end, then all below.
    std::string out = "\x1b[H";
    bool is_first = true;
    for (const std::string& line : fit_lines(lines, size.ws_row, size.ws_col)) {
      out += (is_first ? "" : "\r\n") + line + "\x1b[K";
      is_first = false;
    }
    print_text(out + "\x1b[J");
    return finish_output();
  }

 private:
  termios before_{};
  bool has_keys_ = false;
};

std::string bar(double part, std::size_t width) {
  const auto full = static_cast<std::size_t>(
      std::lround(std::clamp(part, 0.0, 1.0) * static_cast<double>(width)));
  return "[" + std::string(full, '#') + std::string(width - full, '.') + "]";
}

/// The last values, the newest at the right, as columns of eight heights.
std::string sparkline(const std::deque<double>& values) {
  static constexpr std::array<const char*, 9> kHeights{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const double most = values.empty() ? 0 : *std::ranges::max_element(values);
  std::string text;
  for (const double value : values) {
    const double height = most <= 0 ? 0 : value / most * 8;
    // What is not nothing can be seen.
    text += kHeights[value > 0 ? static_cast<std::size_t>(std::clamp(std::lround(height), 1L, 8L))
                               : std::size_t{0}];
  }
  return text;
}

std::string savings_line(const VolumeStatistics& s) {
  const auto part = [&](std::string_view what, const std::optional<std::uint64_t>& blocks) {
    return fmt::format("{} {}", what, blocks ? size_text(*blocks * s.block_size) : "(counting)");
  };
  std::string total;
  if (room_used(s) && s.logical_blocks_used > 0 && s.data_blocks_used <= s.logical_blocks_used) {
    total = fmt::format("   {} % of what was written",
                        100 * (s.logical_blocks_used - s.data_blocks_used) / s.logical_blocks_used);
  }
  return fmt::format("saved      {}, {}, {}{}", part("zeros", s.savings.zero_blocks),
                     part("deduplicated", s.savings.deduplicated_blocks),
                     part("compressed", s.savings.compressed_blocks), total);
}

std::string space_line(const VolumeStatistics& s, const Activity& a) {
  const std::uint64_t room = room_for_data(s);
  const auto known = room_used(s);
  if (!known) {
    return fmt::format("space      how much of {} is used is not known{}",
                       size_text(room * s.block_size),
                       is_recovering(s) ? " yet: recovering" : ", since an error");
  }
  const std::uint64_t used = std::min(room, *known);
  const double part = room == 0 ? 0 : static_cast<double>(used) / static_cast<double>(room);
  std::string outlook;
  if (a.until_full) {
    outlook =
        fmt::format("   +{}/s over the last {} s, full in {}", short_bytes(a.fill_bytes_per_second),
                    a.fill_seconds, duration_text(*a.until_full));
  }
  return fmt::format("space      {} {:.1f} % of {}{}", bar(part, 30), part * 100,
                     size_text(room * s.block_size), outlook);
}

std::string clock_text(std::uint64_t us) {
  const std::uint64_t seconds = us / 1'000'000;
  return fmt::format("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

struct History {
  std::deque<double> reads;
  std::deque<double> writes;
  void add(const Rates& rates) {
    reads.push_back(rates.of(RequestKind::read).bytes_per_second);
    writes.push_back(rates.of(RequestKind::write).bytes_per_second);
    for (auto* values : {&reads, &writes}) {
      if (values->size() > kHistory) values->pop_front();
    }
  }
};

std::string_view condition_words(const VolumeStatistics& s) {
  switch (condition_of(s)) {
    case Condition::read_only: return "READ-ONLY after an error";
    case Condition::suspended: return "SUSPENDED, requests wait";
    case Condition::recovering: return "recovering, usable";
    case Condition::normal: return "normal";
  }
  return "";
}

/// The screen from top to bottom. What each line is for decides what is left out of a small one.
std::vector<ScreenLine> lines_of(const std::string& volume, const Snapshot& now, const Rates& rates,
                                 const History& history) {
  const VolumeStatistics& s = now.statistics;
  const Activity& a = now.activity;
  std::vector<ScreenLine> lines;
  const auto add = [&](LineUse use, const std::string& line) {
    lines.push_back({use, printable(line)});
  };
  add(LineUse::title, fmt::format("uvdo top   {}   served for {}   {} client{}", volume,
                                  clock_text(a.uptime_us), a.clients, a.clients == 1 ? "" : "s"));
  add(LineUse::state,
      fmt::format("{}   index {}   deduplication {}   compression {}", condition_words(s),
                  s.extra.index_state, s.extra.deduplication ? "on" : "off",
                  s.extra.compression ? "on" : "off"));
  add(LineUse::spacing, "");
  add(LineUse::space, space_line(s, a));
  add(LineUse::savings, savings_line(s));
  add(LineUse::spacing, "");
  add(LineUse::requests,
      fmt::format("{:<10} {:>8} {:>8} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8}",
                  fmt::format("last {:.1f} s", rates.seconds), "per s", "bytes/s", "in flight",
                  "50 %", "90 %", "99 %", "99.9 %", "slowest"));
  for (const RequestKind kind : kRequestKinds) {
    const RequestRate& r = rates.of(kind);
    add(LineUse::requests,
        fmt::format("{:<10} {:>8} {:>8} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8}", name_of(kind),
                    short_number(r.per_second), short_bytes(r.bytes_per_second), r.in_flight,
                    short_time(r.latencies.percentile(50)), short_time(r.latencies.percentile(90)),
                    short_time(r.latencies.percentile(99)),
                    short_time(r.latencies.percentile(99.9)), short_time(r.latencies.maximum())));
  }
  add(LineUse::spacing, "");
  add(LineUse::history, fmt::format("reads      {}", sparkline(history.reads)));
  add(LineUse::history, fmt::format("writes     {}", sparkline(history.writes)));
  add(LineUse::spacing, "");
  add(LineUse::machine,
      fmt::format("new data   {} duplicates/s, {} compressed blocks/s",
                  short_number(rates.deduplicated), short_number(rates.compressed)));
  add(LineUse::machine,
      fmt::format("device     busy {:.0f} %, {:.1f} in flight; reads {}/s ({}/s), writes {}/s "
                  "({}/s), flushes {}/s",
                  rates.device_busy * 100, rates.device_queue, short_number(rates.device_reads),
                  short_bytes(rates.device_read_bytes), short_number(rates.device_writes),
                  short_bytes(rates.device_written_bytes), short_number(rates.device_flushes)));
  if (a.device.failures() > 0) {
    add(LineUse::verdict,
        fmt::format("ERRORS     {} reads, {} writes and {} flushes of the device have failed",
                    a.device.failed_reads, a.device.failed_writes, a.device.failed_flushes));
  }
  if (a.room_beneath.state != "open") {
    add(LineUse::verdict,
        fmt::format("NO ROOM    beneath the volume: {} wait in memory, writes are {}",
                    size_text(a.room_beneath.waiting_bytes),
                    a.room_beneath.state == "waiting" ? "held back" : "refused"));
  }
  add(LineUse::machine, fmt::format("processor  {:.0f} % of one, the metadata's thread {:.0f} %",
                                    rates.cpu * 100, rates.thread_cpu * 100));
  add(LineUse::machine,
      fmt::format(
          "metadata   block map cache found {:.1f} %, journal {:.1f} % in use, buffers {:.0f} "
          "% in use",
          (1 - rates.map_misses) * 100, rates.journal_used * 100, rates.buffers_used * 100));
  add(LineUse::spacing, "");
  add(LineUse::verdict, fmt::format("Held up by {}.", rates.bottleneck));
  return lines;
}

}  // namespace

int run_top(int argc, char** argv) {
  ServedVolumeOptions served;
  std::string interval_text = "1";
  std::uint64_t count = 0;
  Arguments app("Shows a served volume at work, live in the terminal; q ends it.", "uvdo top");
  served.add_to(app);
  app.option("--interval", interval_text, "seconds between two looks: 0.1 to 3600").show_default();
  app.option("--count", count, "end after so many looks (default: when q is pressed)");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  auto interval = parse_interval(interval_text);
  if (!interval) return usage_error("--interval: " + interval.error().message());
  if (isatty(STDOUT_FILENO) == 0) {
    return usage_error(
        "uvdo top draws on a terminal; for files and pipes there is uvdo stats "
        "--watch");
  }
  // The first look before the screen is changed: an error of it is told as of any command.
  auto before = take_snapshot(served.given());
  if (!before) return fail(before.error());
  // From here on the screen has to be given back, whatever ends the command.
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = 1; };
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaction(signal, &action, nullptr);
  struct sigaction resized {};
  // Does nothing, but ends the wait for a key: the screen is drawn anew.
  resized.sa_handler = [](int) {};
  sigaction(SIGWINCH, &resized, nullptr);
  Result<void> lost;
  {
    // In a block of its own: an error is told on the terminal as it was before.
    const Screen screen;
    History history;
    lost = Screen::draw({{LineUse::title, "uvdo top   " + served.volume},
                         {LineUse::spacing, ""},
                         {LineUse::verdict, "measuring ..."}});
    for (std::uint64_t looks = 0; lost && (count == 0 || looks < count); ++looks) {
      const char key = wait_for_key(*interval, screen.has_keys());
      if (interrupted != 0 || key == 'q' || key == 'Q' || key == 3) break;
      auto now = take_snapshot(served.given());
      if (!now) {
        lost = std::move(now).error();
        break;
      }
      if (now->activity.uptime_us <= before->activity.uptime_us) {  // a new start of the server
        before = std::move(now);
        continue;
      }
      const Rates rates = rates_between(*before, *now);
      history.add(rates);
      lost = Screen::draw(lines_of(served.volume, *now, rates, history));
      before = std::move(now);
    }
  }
  return lost ? kExitOk : fail(lost.error());
}

}  // namespace uvdo
