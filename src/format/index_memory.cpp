// SPDX-License-Identifier: GPL-2.0-or-later
// Index memory sizes as text.
#include "format/index_memory.h"

#include <charconv>

#include <fmt/core.h>

#include "format/reduced_index_memory.h"

namespace uvdo {
namespace {
constexpr std::int32_t kMaxGigabytes = 1024;
}  // namespace

Result<IndexMemory> parse_index_memory(std::string_view text) {
  if (text == "0.25") return kQuarterGigabyte;
  if (text == "0.5" || text == "0.50") return kHalfGigabyte;
  if (text == "0.75") return kThreeQuartersGigabyte;
  std::int32_t gigabytes = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), gigabytes);
  if (error != std::errc{} || end != text.data() + text.size() || gigabytes < 1 ||
      gigabytes > kMaxGigabytes) {
    return Error(Errc::invalid_argument,
                 fmt::format("\"{}\" is no index memory size: use 0.25, 0.5, 0.75 or 1 to {} "
                             "(gigabytes)",
                             text, kMaxGigabytes));
  }
  return IndexMemory{gigabytes};
}

std::string to_text(IndexMemory memory) {
  if (memory == kQuarterGigabyte) return "0.25";
  if (memory == kHalfGigabyte) return "0.5";
  if (memory == kThreeQuartersGigabyte) return "0.75";
  if (memory.value >= 1 && memory.value <= kMaxGigabytes) return fmt::format("{}", memory.value);
  if (memory.value > kReducedOffset && memory.value <= kReducedOffset + kMaxGigabytes) {
    return fmt::format("reduced {}", memory.value - kReducedOffset);
  }
  if (memory.value <= -1280 && memory.value >= -1792 && memory.value % 256 == 0) {
    return fmt::format("reduced {}", to_text(IndexMemory{memory.value - kReducedQuarterOffset}));
  }
  return fmt::format("unknown ({})", memory.value);
}

}  // namespace uvdo
