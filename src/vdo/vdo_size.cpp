// SPDX-License-Identifier: GPL-2.0-or-later
#include "vdo/vdo_size.h"

#include <cctype>
#include <charconv>
#include <cmath>
#include <limits>

#include <fmt/core.h>

namespace uvdo {
namespace {

constexpr std::string_view kPowers = "BKMGTPE";
constexpr std::uint64_t kSectorBytes = 512;
constexpr std::uint64_t kBareUnit = std::uint64_t{1} << 20;

Error no_size(std::string_view text, std::string_view reason) {
  return {Errc::invalid_argument, fmt::format("\"{}\" is no size: {}", text, reason)};
}

/// The bytes of one unit; 0 if there is no such suffix.
std::uint64_t unit_of(char suffix) {
  const char letter = static_cast<char>(std::toupper(static_cast<unsigned char>(suffix)));
  if (letter == 'S') return kSectorBytes;
  const std::size_t power = kPowers.find(letter);
  return power == std::string_view::npos ? 0 : std::uint64_t{1} << (10 * power);
}

}  // namespace

Result<std::uint64_t> parse_vdo_size(std::string_view text, SectorSuffix sectors) {
  constexpr std::string_view kForm = "use a number and one of B K M G T P E (none: megabytes)";
  std::string_view number = text;
  std::uint64_t unit = kBareUnit;
  if (!number.empty() && std::isalpha(static_cast<unsigned char>(number.back())) != 0) {
    unit = unit_of(number.back());
    if (unit == 0) return no_size(text, kForm);
    if (unit == kSectorBytes && sectors == SectorSuffix::refused) {
      return no_size(text, "it cannot be given in sectors");
    }
    number.remove_suffix(1);
  }
  const char* const end = number.data() + number.size();
  std::uint64_t whole = 0;
  const auto read = std::from_chars(number.data(), end, whole);
  if (read.ec == std::errc::invalid_argument) return no_size(text, kForm);
  if (read.ec != std::errc() || whole > std::numeric_limits<std::uint64_t>::max() / unit) {
    return no_size(text, "it is too large");
  }
  std::uint64_t bytes = whole * unit;
  if (read.ptr == end) return bytes;
  // What stands behind the point: digits only, less than one unit.
  double fraction = 0;
  const auto behind = std::from_chars(read.ptr, end, fraction, std::chars_format::fixed);
  if (*read.ptr != '.' || read.ptr + 1 == end || behind.ec != std::errc() || behind.ptr != end) {
    return no_size(text, kForm);
  }
  const auto more = static_cast<std::uint64_t>(std::llround(fraction * static_cast<double>(unit)));
  if (more > std::numeric_limits<std::uint64_t>::max() - bytes) {
    return no_size(text, "it is too large");
  }
  bytes += more;
  return bytes;
}

std::string vdo_size_text(std::uint64_t bytes) {
  if (bytes == 0) return "0M";
  std::size_t power = 0;
  while (power + 1 < kPowers.size() && bytes % 1024 == 0) {
    bytes /= 1024;
    ++power;
  }
  return fmt::format("{}{}", bytes, kPowers[power]);
}

}  // namespace uvdo
