// SPDX-License-Identifier: GPL-2.0-or-later
// Reads the kernel's `stats` message.
#include <charconv>
#include <map>
#include <vector>

#include <fmt/core.h>

#include "base/printable.h"
#include "statistics/statistics_fields.h"
#include "statistics/statistics_text.h"

namespace uvdo {
namespace {

using Values = std::map<std::string, std::string, std::less<>>;

/// The next word; words are parted by blanks, a comma ends one.
std::string_view take_word(std::string_view& text) {
  const std::size_t begin = std::min(text.find_first_not_of(" \n,"), text.size());
  text.remove_prefix(begin);
  const std::string_view word = text.substr(0, text.find_first_of(" \n,"));
  text.remove_prefix(word.size());
  return word;
}

/// Values by the keys that lead to them, "blockMap.dirtyPages"; nothing if it is not of the form
/// "{ key : value, key : { ... }, }".
std::optional<Values> values_of(std::string_view text) {
  Values values;
  std::vector<std::string> groups;  // the paths of those that are open, "" first
  if (take_word(text) != "{") return std::nullopt;
  groups.emplace_back();
  while (!groups.empty()) {
    const std::string_view key = take_word(text);
    if (key == "}") {
      groups.pop_back();
      continue;
    }
    if (key.empty() || take_word(text) != ":") return std::nullopt;
    const std::string path = fmt::format("{}{}", groups.back(), key);
    const std::string_view value = take_word(text);
    if (value == "{") {
      groups.push_back(path + ".");
    } else if (value.empty() || value == "}") {
      return std::nullopt;
    } else {
      values.emplace(path, value);
    }
  }
  return take_word(text).empty() ? std::optional(std::move(values)) : std::nullopt;
}

/// Puts the values into the fields that their keys name.
class MessageReader {
 public:
  explicit MessageReader(const Values& values) : values_(values) {}
  void value(const char* key, std::uint64_t& field) {
    const std::string* text = find(key);
    if (text == nullptr) return;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), field);
    if (error != std::errc() || end != text->data() + text->size()) refuse(key, *text);
  }
  void value(const char* key, bool& field) {
    std::uint64_t number = field ? 1 : 0;
    value(key, number);
    field = number != 0;
  }
  void value(const char* key, OperatingMode& field) {
    const std::string* text = find(key);
    if (text == nullptr) return;
    for (const OperatingMode mode :
         {OperatingMode::normal, OperatingMode::recovering, OperatingMode::read_only}) {
      if (*text != name_of(mode)) continue;
      field = mode;
      return;
    }
    refuse(key, *text);
  }
  template <class F>
  void group(const char* key, F&& f) {
    const std::string outer = prefix_;
    prefix_ += fmt::format("{}.", key);
    f();
    prefix_ = outer;
  }
  /// The first value that is none of its key.
  [[nodiscard]] const std::optional<std::string>& refused() const { return refused_; }

 private:
  [[nodiscard]] const std::string* find(const char* key) const {
    const auto found = values_.find(prefix_ + key);
    return found == values_.end() ? nullptr : &found->second;
  }
  void refuse(const char* key, const std::string& text) {
    if (!refused_) refused_ = fmt::format("\"{}\" is no {}{}", printable(text), prefix_, key);
  }
  const Values& values_;
  std::string prefix_;
  std::optional<std::string> refused_;
};

}  // namespace

Result<VolumeStatistics> read_statistics_message(std::string_view text) {
  const auto values = values_of(text);
  if (!values || !values->contains("physicalBlocks")) {
    return Error(Errc::corrupt, "the kernel's statistics are not of the form { key : value, ... }");
  }
  VolumeStatistics statistics;
  MessageReader reader(*values);
  visit_kernel_statistics(statistics, reader);
  if (reader.refused()) {
    return Error(Errc::corrupt,
                 fmt::format("the kernel's statistics are not understood: {}", *reader.refused()));
  }
  return statistics;
}

}  // namespace uvdo
