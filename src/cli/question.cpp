// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/question.h"

#include <cstdio>
#include <string>

#include <fmt/core.h>
#include <unistd.h>

#include "base/print.h"
#include "base/size_text.h"

namespace uvdo {
namespace {

/// No data shrink so far: whoever asks for more has probably meant another unit.
constexpr std::uint64_t kMostTimes = 100;

bool is_yes(const std::string& answer) { return answer == "y" || answer == "yes"; }

}  // namespace

bool may_go_on(std::string_view doubt, bool yes) {
  if (yes) return true;
  if (isatty(STDIN_FILENO) == 0) {
    print_error("uvdo: warning: {} (--yes leaves this warning out)\n", doubt);
    return true;
  }
  print_error("{}. Go on? [y/N] ", doubt);
  std::string answer;
  // The end of the input is a no.
  for (int c = std::getchar(); c != EOF && c != '\n'; c = std::getchar()) {
    answer.push_back(static_cast<char>(c));
  }
  return is_yes(answer);
}

bool may_offer(std::uint64_t logical_bytes, std::uint64_t room_bytes, bool yes) {
  if (room_bytes == 0 || logical_bytes / kMostTimes <= room_bytes) return true;
  return may_go_on(
      fmt::format("a logical size of {} is {} times the room for data, {}; writes fail "
                  "when that is full",
                  size_text(logical_bytes), logical_bytes / room_bytes, size_text(room_bytes)),
      yes);
}

}  // namespace uvdo
