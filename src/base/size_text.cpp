// SPDX-License-Identifier: GPL-2.0-or-later
// Parsing and printing of sizes.
#include "base/size_text.h"

#include <algorithm>
#include <cctype>
#include <limits>

#include <fmt/core.h>

namespace uvdo {
namespace {

constexpr std::string_view kUnits = "KMGTPE";
// 2^64 with so many decimals leaves room in 128 bits for a unit.
constexpr unsigned kMaxDecimals = 9;

Error bad_size(std::string_view text, std::string_view why) {
  return {Errc::invalid_argument,
          fmt::format("\"{}\" is no size: {} (write 4096, 512K, 10G, 1.5TiB)", text, why)};
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// The power of 1024 that a unit stands for; -1: none that we know, -2: an ambiguous one.
int power_of(std::string_view unit) {
  if (unit.empty()) return 0;
  const char first = static_cast<char>(std::toupper(static_cast<unsigned char>(unit[0])));
  if (first == 'B' && unit.size() == 1) return 0;
  if (unit == "bytes") return 0;
  const auto at = kUnits.find(first);
  if (at == std::string_view::npos) return -1;
  if (unit.size() == 1) return static_cast<int>(at) + 1;
  const auto lower = [&](std::size_t i) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(unit[i])));
  };
  if (unit.size() == 2 && lower(1) == 'b') return -2;
  if (unit.size() == 3 && lower(1) == 'i' && lower(2) == 'b') return static_cast<int>(at) + 1;
  return -1;
}

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
  __extension__ using Wide = unsigned __int128;
  std::size_t at = 0;
  Wide number = 0;
  // With decimals it is number / divisor.
  Wide divisor = 1;
  constexpr Wide kLimit = std::numeric_limits<std::uint64_t>::max();
  for (; at < text.size() && is_digit(text[at]); ++at) {
    number = number * 10 + static_cast<unsigned>(text[at] - '0');
    if (number > kLimit) return bad_size(text, "it is too large");
  }
  if (at == 0) return bad_size(text, "it does not begin with a digit");
  if (at < text.size() && text[at] == '.') {
    const std::size_t first = ++at;
    for (; at < text.size() && is_digit(text[at]); ++at) {
      if (at - first >= kMaxDecimals) return bad_size(text, "it has too many decimals");
      number = number * 10 + static_cast<unsigned>(text[at] - '0');
      divisor *= 10;
    }
    if (at == first) return bad_size(text, "there is no digit after its point");
  }
  while (at < text.size() && text[at] == ' ') ++at;
  const std::string_view unit = text.substr(at);
  const int power = power_of(unit);
  if (power == -2) {
    return bad_size(
        text, fmt::format("{} may mean a power of 1000 or of 1024: write {}iB", unit, unit[0]));
  }
  if (power < 0) return bad_size(text, "its unit is none of B K M G T P KiB MiB GiB TiB PiB");
  // The largest number, with 9 decimals, times 2^60 would not fit: leave what cannot be first.
  for (int i = 0; i < power; ++i) {
    number *= 1024;
    if (number / divisor > kLimit) return bad_size(text, "it is too large");
  }
  if (number % divisor != 0) return bad_size(text, "it is no whole number of bytes");
  return static_cast<std::uint64_t>(number / divisor);
}

bool has_no_unit(std::string_view text) { return std::ranges::all_of(text, is_digit); }

std::string size_text(std::uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} bytes", bytes);
  unsigned power = 0;
  std::uint64_t unit = 1;
  while (power < kUnits.size() && bytes / unit >= 1024) {
    unit *= 1024;
    ++power;
  }
  const char name = kUnits[power - 1];
  if (bytes % unit == 0) return fmt::format("{} {}iB", bytes / unit, name);
  const double value = static_cast<double>(bytes) / static_cast<double>(unit);
  // 1023.96 would print as 1024.0 of the unit below.
  if (value >= 1023.95 && power < kUnits.size()) return fmt::format("1.0 {}iB", kUnits[power]);
  return fmt::format("{:.1f} {}iB", value, name);
}

std::string exact_size_text(std::uint64_t bytes) {
  // A text that was rounded reads back as another number.
  if (const auto same = parse_size(size_text(bytes)); same && *same == bytes) {
    return size_text(bytes);
  }
  std::size_t power = 0;
  for (; power < kUnits.size() && bytes % 1024 == 0; ++power) bytes /= 1024;
  return power == 0 ? fmt::format("{} bytes", bytes)
                    : fmt::format("{} {}iB", bytes, kUnits[power - 1]);
}

std::string grouped(std::uint64_t number) {
  const std::string digits = fmt::format("{}", number);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ' ';
    text += digits[i];
  }
  return text;
}

}  // namespace uvdo
