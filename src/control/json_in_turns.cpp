// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/json_in_turns.h"

#include <algorithm>

namespace uvdo {
namespace {

/// With so few members, and nothing below them, a value is written at once.
constexpr std::size_t kFewMembers = 64;
/// Work for a byte of text, that of making and freeing the value included.
constexpr std::uint64_t kUnitsPerByte = 2;

bool is_small(const Json& json) {
  if (!json.is_structured()) return true;
  return json.size() <= kFewMembers &&
         std::ranges::none_of(json, [](const Json& member) { return member.is_structured(); });
}

// As deep as the value is nested, which is little: what the server itself has made.
Task<void> append(Executor& executor, Json& json, std::string& text) {
  if (is_small(json)) {
    co_await executor.give_way();
    const std::string part = json_text(json);
    executor.spend(part.size() * kUnitsPerByte);
    text += part;
    // Freed here, and not all of it in one go at the end.
    json = nullptr;
    co_return;
  }
  const bool has_names = json.is_object();
  text += has_names ? '{' : '[';
  bool is_first = true;
  for (const auto& member : json.items()) {
    if (!std::exchange(is_first, false)) text += ',';
    if (has_names) {
      text += json_text(member.key());
      text += ':';
    }
    co_await append(executor, member.value(), text);
  }
  text += has_names ? '}' : ']';
}

}  // namespace

Task<std::string> json_text_in_turns(Executor& executor, Json json) {
  std::string text;
  co_await append(executor, json, text);
  co_return text;
}

}  // namespace uvdo
