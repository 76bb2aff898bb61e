// SPDX-License-Identifier: GPL-2.0-or-later
// What `vdo` keeps of each volume: one table that the options, the configuration file and the
// status all derive from. Values are texts in the form in which the file has them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace uvdo {

/// The verbs whose options set a value.
enum class SettingVerb : std::uint8_t {
  create = 1,
  import = 2,
  modify = 4,
  change_write_policy = 8,
  grow_logical = 16,
};

struct Setting {
  enum class Kind : std::uint8_t {
    number,        ///< least to most
    size,          ///< bytes, least to most
    on_off,        ///< "enabled" or "disabled"
    word,          ///< one of `words`
    index_memory,  ///< gigabytes: 0.25, 0.5, 0.75, or 1 to 1024
    text,          ///< checked by the verbs that take it
  };
  std::string_view key{};     ///< in the configuration file; empty: it is not kept there
  std::string_view option{};  ///< with its dashes; empty: no option sets it
  std::string_view label{};   ///< in the status; empty: not shown there by itself
  Kind kind = Kind::text;
  std::string_view fallback{};  ///< of a new volume; empty: there is none
  std::uint8_t verbs = 0;       ///< SettingVerb, together
  std::uint64_t least = 0;
  std::uint64_t most = 0;
  std::uint64_t multiple = 1;       ///< what a size is a multiple of
  bool takes_sectors = false;       ///< a size may be given in sectors
  std::string_view words{};         ///< of Kind::word, parted by blanks
  std::string_view help{};          ///< of the option
  bool is_of_old_versions = false;  ///< written and shown only where it was given

  [[nodiscard]] bool is_taken_by(SettingVerb verb) const {
    return (verbs & static_cast<std::uint8_t>(verb)) != 0;
  }
};

/// The table, in the order of --help.
[[nodiscard]] std::span<const Setting> settings();
/// Null: there is none such.
[[nodiscard]] const Setting* setting_of_key(std::string_view key);
[[nodiscard]] const Setting* setting_of_option(std::string_view option);

/// The value as the file has it, of one that was typed or read from a file of others.
/// invalid_argument names the limits, as the end of a sentence that begins with the option.
Result<std::string> parse_setting(const Setting& setting, std::string_view text);

/// The values of one volume, by key.
using SettingValues = std::map<std::string, std::string, std::less<>>;

/// What a new volume has where nothing is said.
[[nodiscard]] SettingValues default_settings();

/// A value, or what stands for one that is missing: the default.
[[nodiscard]] std::string text_setting(const SettingValues& values, std::string_view key);
[[nodiscard]] std::uint64_t number_setting(const SettingValues& values, std::string_view key);
/// Bytes.
[[nodiscard]] std::uint64_t size_setting(const SettingValues& values, std::string_view key);
[[nodiscard]] bool is_enabled(const SettingValues& values, std::string_view key);
[[nodiscard]] std::string on_off_text(bool is_on);

/// What no single value shows: threads by kind are all zero or all not, and the cache holds what
/// the logical threads need.
Result<void> check_together(const SettingValues& values);

}  // namespace uvdo
