// SPDX-License-Identifier: GPL-2.0-or-later
// Drawing the progress bar.
#include "cli/progress.h"

#include <algorithm>

#include <unistd.h>

#include "base/print.h"

namespace uvdo {
namespace {
constexpr auto kInterval = std::chrono::milliseconds(100);
constexpr std::size_t kWidth = 30;
}  // namespace

Progress::Progress() : enabled_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() { clear(); }

void Progress::show(std::string_view what, std::uint64_t done, std::uint64_t total,
                    std::string_view details) {
  if (!enabled_) return;
  const auto now = std::chrono::steady_clock::now();
  if (drawn_ && now - last_ < kInterval) return;
  last_ = now;
  drawn_ = true;
  const double share =
      total == 0 ? 1.0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const auto filled = static_cast<std::size_t>(share * static_cast<double>(kWidth));
  // \r\x1b[K: to the line's begin, and what stands there is erased.
  print_error_text(fmt::format("\r\x1b[K{:<12} [{}{}] {:3.0f}% {}", what, std::string(filled, '#'),
                               std::string(kWidth - filled, ' '), share * 100, details));
}

void Progress::clear() {
  if (!drawn_) return;
  print_error_text("\r\x1b[K");
  drawn_ = false;
}

}  // namespace uvdo
