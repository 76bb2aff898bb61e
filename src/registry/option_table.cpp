// SPDX-License-Identifier: GPL-2.0-or-later
#include "registry/option_table.h"

#include <algorithm>

#include <fmt/format.h>

namespace uvdo {
namespace {

struct TextOf {
  std::string operator()(const std::string& text) const { return text; }
  std::string operator()(std::int64_t number) const { return std::to_string(number); }
  std::string operator()(bool on) const { return on ? "on" : "off"; }
  std::string operator()(const std::vector<std::string>& list) const {
    return fmt::format("{}", fmt::join(list, ","));
  }
};

/// Nothing if there is no value, or one of another kind.
template <class T>
std::optional<T> value_as(const OptionValue* value) {
  const T* found = value == nullptr ? nullptr : std::get_if<T>(value);
  return found == nullptr ? std::nullopt : std::optional<T>(*found);
}

}  // namespace

std::string to_text(const OptionValue& value) { return std::visit(TextOf(), value); }

const OptionValue* OptionTable::find(std::string_view key) const {
  const auto found = std::ranges::find(entries_, key, &Entry::first);
  return found == entries_.end() ? nullptr : &found->second;
}

std::optional<std::string> OptionTable::text(std::string_view key) const {
  const OptionValue* value = find(key);
  return value == nullptr ? std::nullopt : std::optional(to_text(*value));
}

std::optional<std::int64_t> OptionTable::number(std::string_view key) const {
  return value_as<std::int64_t>(find(key));
}

std::optional<bool> OptionTable::truth(std::string_view key) const {
  return value_as<bool>(find(key));
}

std::vector<std::string> OptionTable::list(std::string_view key) const {
  const OptionValue* value = find(key);
  if (auto one = value_as<std::string>(value)) return {*one};
  return value_as<std::vector<std::string>>(value).value_or(std::vector<std::string>());
}

void OptionTable::set(std::string_view key, OptionValue value) {
  const auto found = std::ranges::find(entries_, key, &Entry::first);
  if (found == entries_.end()) {
    entries_.emplace_back(key, std::move(value));
  } else {
    found->second = std::move(value);
  }
}

bool OptionTable::erase(std::string_view key) {
  return std::erase_if(entries_, [&](const Entry& entry) { return entry.first == key; }) != 0;
}

}  // namespace uvdo
