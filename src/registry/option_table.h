// SPDX-License-Identifier: GPL-2.0-or-later
// The settings of a table in a volume's file, in the order in which they stand there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>

namespace uvdo {

/// A text, a number, true or false, or a list of texts.
using OptionValue = std::variant<std::string, std::int64_t, bool, std::vector<std::string>>;

/// As it stands on a command line: true and false are "on" and "off", a list is parted by commas.
[[nodiscard]] std::string to_text(const OptionValue& value);

/// Keys are names of options without dashes: letters, digits, "-" and "_".
class OptionTable {
 public:
  using Entry = std::pair<std::string, OptionValue>;

  OptionTable() = default;
  OptionTable(std::initializer_list<Entry> entries) : entries_(entries) {}

  /// Null if there is none. What is returned lives until the table changes.
  [[nodiscard]] const OptionValue* find(std::string_view key) const;
  /// The value as text; nothing if there is none.
  [[nodiscard]] std::optional<std::string> text(std::string_view key) const;
  /// The value if there is one, and it is a number; true or false; a list. One text is a list, too.
  [[nodiscard]] std::optional<std::int64_t> number(std::string_view key) const;
  [[nodiscard]] std::optional<bool> truth(std::string_view key) const;
  [[nodiscard]] std::vector<std::string> list(std::string_view key) const;

  /// In the place of the value that there is, else behind the last.
  void set(std::string_view key, OptionValue value);
  /// False if there is none.
  bool erase(std::string_view key);

  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
  [[nodiscard]] bool empty() const { return entries_.empty(); }
  friend bool operator==(const OptionTable&, const OptionTable&) = default;

 private:
  std::vector<Entry> entries_;
};

/// The options as words of a command line, "--cache=256M": what is false is left out if `is_flag`
/// says that the option takes no value, and a list is the option several times.
template <class IsFlag>
[[nodiscard]] std::vector<std::string> command_line_of(const OptionTable& table, IsFlag is_flag) {
  std::vector<std::string> words;
  for (const auto& [key, value] : table.entries()) {
    const std::string option = "--" + key;
    if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
      for (const std::string& each : *list) words.push_back(fmt::format("{}={}", option, each));
    } else if (is_flag(key)) {
      if (const auto* on = std::get_if<bool>(&value); on != nullptr && *on) words.push_back(option);
    } else {
      words.push_back(fmt::format("{}={}", option, to_text(value)));
    }
  }
  return words;
}

}  // namespace uvdo
