// SPDX-License-Identifier: GPL-2.0-or-later
#include "registry/named_volume.h"

#include <algorithm>
#include <map>
#include <optional>

#include <fmt/core.h>

#include "base/printable.h"
#include "base/store_name.h"
#include "format/uuid_text.h"
#include "registry/volume_keys.h"

namespace uvdo {
namespace {

constexpr std::string_view kServe = "serve";
constexpr std::string_view kVdo = "vdo";

constexpr std::string_view kServeComment = "# Options of uvdo serve.";
constexpr std::string_view kVdoComment = "# Settings that the command vdo keeps.";

/// Of a line that the file has in any case; a user's own has another text.
bool is_own_comment(std::string_view line) {
  return line.starts_with("# The volume \"") || line == kServeComment || line == kVdoComment;
}

std::optional<std::vector<std::string>> list_of(const toml::array& array) {
  std::vector<std::string> list;
  for (const toml::node& each : array) {
    const auto text = each.value_exact<std::string>();
    if (!text) return std::nullopt;
    list.push_back(*text);
  }
  return list;
}

std::optional<OptionValue> value_of(const toml::node& node) {
  if (const auto text = node.value_exact<std::string>()) return *text;
  if (const auto number = node.value_exact<std::int64_t>()) return *number;
  if (const auto on = node.value_exact<bool>()) return *on;
  // Nothing takes a fraction but as text.
  if (const auto number = node.value_exact<double>()) return fmt::format("{}", *number);
  if (const toml::array* array = node.as_array()) {
    if (auto list = list_of(*array)) return *list;
  }
  return std::nullopt;
}

/// The table's entries in the order of the file.
Result<OptionTable> table_of(const std::string& path, std::string_view name,
                             const toml::node& node) {
  const toml::table* table = node.as_table();
  if (table == nullptr) {
    return wrong_line(path, node.source(), fmt::format("\"{}\" is a table, [{}]", name, name));
  }
  // The parser sorts them by their names.
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::string> order;
  for (const auto& [key, value] : *table) {
    order.emplace(std::pair(key.source().begin.line, key.source().begin.column),
                  std::string(key.str()));
  }
  OptionTable entries;
  for (const auto& [place, key] : order) {
    const toml::node& entry = *table->get(key);
    auto value = value_of(entry);
    if (!value) {
      return wrong_line(
          path, entry.source(),
          fmt::format("\"{}\" is a text, a number, true or false, or a list of texts", key));
    }
    entries.set(key, std::move(*value));
  }
  return entries;
}

Result<void> read_key(const std::string& path, std::string_view key, const toml::node& node,
                      NamedVolume& volume) {
  auto is_known = read_volume_key(path, key, node, volume);
  if (!is_known) return std::move(is_known).error();
  if (*is_known) {
    if (key != kStorageKey) return {};
    auto right = check_storage_path(volume.storage);
    return right ? Result<void>() : wrong_line(path, node.source(), right.error().message());
  }
  if (key == kServe || key == kVdo) {
    auto table = table_of(path, key, node);
    if (!table) return std::move(table).error();
    (key == kServe ? volume.serve : volume.vdo) = std::move(*table);
    return {};
  }
  return wrong_line(path, node.source(),
                    fmt::format("\"{}\" means nothing here; there are uuid, volume, activate, "
                                "lvm-pool, [serve] and [vdo]",
                                key));
}

bool has_controls(std::string_view text) {
  return std::ranges::any_of(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

/// A basic string of TOML.
std::string toml_string(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      quoted += fmt::format("\\u{:04X}", static_cast<unsigned>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

struct TomlOf {
  std::string operator()(const std::string& text) const { return toml_string(text); }
  std::string operator()(std::int64_t number) const { return std::to_string(number); }
  std::string operator()(bool on) const { return on ? "true" : "false"; }
  std::string operator()(const std::vector<std::string>& list) const {
    std::string text;
    for (const std::string& each : list) text += (text.empty() ? "" : ", ") + toml_string(each);
    return "[" + text + "]";
  }
};

/// Whether TOML takes the key as it is.
bool is_bare(std::string_view key) {
  return !key.empty() && std::ranges::all_of(key, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
           c == '_';
  });
}

/// Comments of a user, by what they stand above: "serve" for a table, "serve.cache" for a key in
/// it; "" for the end of the file.
using Comments = std::map<std::string, std::string>;

Comments comments_in(std::string_view text) {
  Comments comments;
  std::string table;
  std::string pending;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view whole = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t start = whole.find_first_not_of(" \t\r");
    if (start == std::string_view::npos) continue;
    const std::string_view line = whole.substr(start, whole.find_last_not_of(" \t\r") + 1 - start);
    if (line.front() == '#') {
      if (!is_own_comment(line)) pending += std::string(line) + '\n';
      continue;
    }
    std::string place;
    if (line.front() == '[') {
      table = std::string(line.substr(1, line.find(']') - 1));
      place = table;
    } else {
      const std::string_view key = line.substr(0, line.find_first_of(" \t="));
      place = table.empty() ? std::string(key) : fmt::format("{}.{}", table, key);
    }
    if (!pending.empty()) comments[place] += std::exchange(pending, {});
  }
  if (!pending.empty()) comments[""] = pending;
  return comments;
}

void add_table(std::string& text, std::string_view name, std::string_view comment,
               const OptionTable& table, Comments& comments) {
  const auto taken = [&](const std::string& place) {
    const auto node = comments.extract(place);
    return node.empty() ? std::string() : node.mapped();
  };
  const std::string above = taken(std::string(name));
  if (table.empty() && above.empty()) return;
  text += fmt::format("\n{}\n{}[{}]\n", comment, above, name);
  for (const auto& [key, value] : table.entries()) {
    text += taken(fmt::format("{}.{}", name, key));
    text += fmt::format("{} = {}\n", is_bare(key) ? key : toml_string(key),
                        std::visit(TomlOf(), value));
  }
}

}  // namespace

bool is_volume_name(std::string_view name) {
  if (name.empty() || name.size() > kLongestVolumeName) return false;
  if (name.front() == '-' || name.front() == '.') return false;
  return std::ranges::all_of(name, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           std::string_view("._+-").find(c) != std::string_view::npos;
  });
}

Result<void> check_volume_name(std::string_view name) {
  if (is_volume_name(name)) return {};
  return Error(
      Errc::invalid_argument,
      fmt::format("\"{}\" cannot be a volume's name: it is 1 to {} letters, digits, \".\", "
                  "\"_\", \"+\" and \"-\", and does not begin with \"-\" or \".\"",
                  printable(name), kLongestVolumeName));
}

Error wrong_line(const std::string& path, const toml::source_region& where, std::string_view what) {
  return {Errc::invalid_argument, fmt::format("{}, line {}: {}", path, where.begin.line, what)};
}

Result<bool> read_volume_key(const std::string& path, std::string_view key, const toml::node& node,
                             NamedVolume& volume) {
  if (key == kUuidKey) {
    const auto uuid = uuid_of(node.value_exact<std::string>().value_or(""));
    if (!uuid) return wrong_line(path, node.source(), "\"uuid\" is the UUID of the volume");
    volume.uuid = *uuid;
  } else if (key == kStorageKey) {
    volume.storage = node.value_exact<std::string>().value_or("");
    if (volume.storage.empty()) {
      return wrong_line(path, node.source(), "\"volume\" is the path of a file or block device");
    }
  } else if (key == kActivateKey) {
    const auto on = node.value_exact<bool>();
    if (!on) return wrong_line(path, node.source(), "\"activate\" is true or false");
    volume.is_activated = *on;
  } else if (key == kLvmPoolKey) {
    volume.lvm_pool = node.value_exact<std::string>().value_or("");
    if (volume.lvm_pool.find('/') == std::string::npos || has_controls(volume.lvm_pool)) {
      return wrong_line(path, node.source(),
                        "\"lvm-pool\" is the name of a pool of LVM, \"VG/POOL\"");
    }
  } else {
    return false;
  }
  return true;
}

Result<void> check_storage_path(std::string_view path) {
  const bool is_whole = path.starts_with('/') || !is_path(path);
  if (is_whole && !has_controls(path)) return {};
  return Error(Errc::invalid_argument,
               fmt::format("\"volume\" is the whole path of a file or block device, without line "
                           "feeds or other control characters; \"{}\" cannot be a named volume's: "
                           "give the file another name, or a link to it",
                           printable(path)));
}

Result<NamedVolume> parse_named_volume(const std::string& name, const std::string& path,
                                       std::string_view text) {
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) return wrong_line(path, parsed.error().source(), parsed.error().description());
  NamedVolume volume;
  volume.name = name;
  for (const auto& [key, node] : parsed.table()) {
    if (auto read = read_key(path, key.str(), node, volume); !read) return std::move(read).error();
  }
  for (const std::string_view key : {kUuidKey, kStorageKey}) {
    if (!parsed.table().contains(key)) {
      return Error(Errc::invalid_argument, fmt::format("{} has no \"{}\"", path, key));
    }
  }
  return volume;
}

std::string text_of_named_volume(const NamedVolume& volume, std::string_view old_text) {
  Comments comments = comments_in(old_text);
  std::string text = fmt::format("# The volume \"{}\" of uvdo; see uvdo-volume(5).\n", volume.name);
  const auto add = [&](std::string_view key, const std::string& value, std::string_view comment) {
    if (const auto above = comments.extract(std::string(key)); !above.empty()) {
      text += above.mapped();
    }
    text += fmt::format("{:<50} # {}\n", fmt::format("{} = {}", key, value), comment);
  };
  add(kUuidKey, toml_string(to_text(volume.uuid)),
      "what it is found by, wherever its disk has gone");
  add(kStorageKey, toml_string(volume.storage), "where it was found last");
  add(kActivateKey, volume.is_activated ? "true" : "false",
      "started at boot, and by uvdo start --all");
  if (!volume.lvm_pool.empty()) {
    add(kLvmPoolKey, toml_string(volume.lvm_pool), "whose data it is; mapped while it runs");
  }
  add_table(text, kServe, kServeComment, volume.serve, comments);
  add_table(text, kVdo, kVdoComment, volume.vdo, comments);
  // What stood above a key that is gone is kept, too: somebody has written it.
  if (!comments.empty()) text += '\n';
  for (const auto& [place, comment] : comments) text += comment;
  return text;
}

}  // namespace uvdo
