// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/config_file.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include <fmt/core.h>

#include "base/file_checks.h"
#include "cli/volume_name.h"
#include "device/backing_name.h"
#include "format/uuid_text.h"
#include "registry/find_storage.h"
#include "registry/volume_keys.h"

namespace uvdo {
namespace {

constexpr std::array<std::string_view, 3> kTables{"format", "serve", "vdo"};
/// Of a file of parameters.
constexpr std::size_t kMostBytes = 1U << 20U;

/// How a value stands on a command line; nothing if it is of a kind that no option has.
std::optional<std::string> value_text(const toml::node& node) {
  if (const auto text = node.value_exact<std::string>()) return *text;
  if (const auto number = node.value_exact<std::int64_t>()) return fmt::format("{}", *number);
  if (const auto number = node.value_exact<double>()) return fmt::format("{}", *number);
  // Switches that take a word take "on" and "off".
  if (const auto on = node.value_exact<bool>()) return *on ? "on" : "off";
  return std::nullopt;
}

std::string option_names(const Arguments& app) {
  std::string names;
  for (const std::string& name : app.long_names()) {
    const std::string key = name.substr(2);
    if (key == "help" || key == "version" || key == "config") continue;
    names += (names.empty() ? "" : ", ") + key;
  }
  return names;
}

Result<void> add_option(const Arguments& app, std::string_view table, const std::string& key,
                        const toml::node& node, ConfigFile& config) {
  // Only options of this command, by their long names; help and the file itself are none of a file.
  const auto option = app.find("--" + key);
  if (!option || key == "config" || key == "help" || key == "version") {
    return wrong_line(config.path, node.source(),
                      fmt::format("[{}] has no \"{}\"; it has {}", table, key, option_names(app)));
  }
  if (option->is_flag) {
    const auto on = node.value_exact<bool>();
    if (!on) {
      return wrong_line(config.path, node.source(), fmt::format("\"{}\" is true or false", key));
    }
    if (*on) config.arguments.push_back("--" + key);
    return {};
  }
  const auto add = [&](const toml::node& value) -> Result<void> {
    const auto text = value_text(value);
    if (!text) {
      return wrong_line(config.path, value.source(),
                        fmt::format("\"{}\" is a text, a number, true or false", key));
    }
    config.arguments.push_back(fmt::format("--{}={}", key, *text));
    return {};
  };
  // An array is an option given several times.
  const toml::array* values = node.as_array();
  if (values == nullptr) return add(node);
  if (!option->takes_several) {
    return wrong_line(config.path, node.source(),
                      fmt::format("\"{}\" is one value, not several", key));
  }
  for (const toml::node& value : *values) {
    if (auto added = add(value); !added) return added;
  }
  return {};
}

/// The option's value as it stands on the command line, if it does.
// --config has to be read before all options can be parsed: what the file says is parsed with them.
std::optional<std::string> find_argument(std::string_view option, int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == option && i + 1 < argc) return argv[i + 1];
    if (argument.starts_with(option) && argument.size() > option.size() &&
        argument[option.size()] == '=') {
      return std::string(argument.substr(option.size() + 1));
    }
  }
  return std::nullopt;
}

/// The file of the volume whose name stands on the command line.
std::optional<std::string> file_of_named(const Arguments& app, int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (!word.starts_with("-")) return file_of_volume_name(word);
    const auto option = app.find(word);
    // Its value is the next word.
    if (option && !option->is_flag) ++i;
  }
  return std::nullopt;
}

/// The path of the volume that the file is about.
Result<std::string> volume_of(const ConfigFile& config) {
  if (!config.uuid) return backing_store_path(config.volume);
  // In its place among the named ones it is brought up to date.
  const std::filesystem::path file(config.path);
  const std::string name = file.stem().string();
  if (file_of_volume_name(name) == config.path) return volume_path("@" + name, VolumeUse::serve);
  NamedVolume volume;
  volume.name = name;
  volume.uuid = *config.uuid;
  volume.storage = config.volume;
  auto found = find_storage(volume);
  if (!found) return std::move(found).error();
  return std::move(found->path);
}

/// Whether the command line has any of the option's names.
bool is_given(const Arguments::Shape& option, int argc, char** argv) {
  const auto matches = [&](std::string_view argument) {
    return std::ranges::any_of(option.names, [&](const std::string& name) {
      const bool is_long = name.starts_with("--");
      return is_long ? argument == name || argument.starts_with(name + "=")
                     : argument.starts_with(name);
    });
  };
  return std::any_of(argv + 1, argv + argc, matches);
}

}  // namespace

Result<ConfigFile> parse_config(const Arguments& app, std::string_view table,
                                const std::string& path, std::string_view text) {
  ConfigFile config;
  config.path = path;
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) return wrong_line(path, parsed.error().source(), parsed.error().description());
  NamedVolume volume;
  for (const auto& [key, node] : parsed.table()) {
    const std::string_view name = key.str();
    auto is_known = read_volume_key(path, name, node, volume);
    if (!is_known) return std::move(is_known).error();
    if (*is_known) continue;
    if (std::ranges::find(kTables, name) == kTables.end() || !node.is_table()) {
      return wrong_line(
          path, node.source(),
          fmt::format("\"{}\" means nothing here; there are volume, [format] and [serve]", name));
    }
    // The tables of other commands are not looked at, so that one file serves all of them.
    if (name != table) continue;
    for (const auto& [option, value] : *node.as_table()) {
      auto added = add_option(app, table, std::string(option.str()), value, config);
      if (!added) return std::move(added).error();
    }
  }
  config.volume = std::move(volume.storage);
  if (parsed.table().contains(kUuidKey)) config.uuid = volume.uuid;
  return config;
}

Result<ConfigFile> read_config(const Arguments& app, std::string_view table, int argc,
                               char** argv) {
  auto path = find_argument("--config", argc, argv);
  if (!path && table == "serve") path = file_of_named(app, argc, argv);
  if (!path) return ConfigFile{};
  auto text = read_small_file(*path, kMostBytes);
  if (!text) {
    return Error(Errc::invalid_argument, fmt::format("the file {} of --config cannot be read: {}",
                                                     *path, text.error().message()));
  }
  auto config = parse_config(app, table, *path, *text);
  if (!config) return config;
  // An option of the command line replaces that of the file as a whole, also one that takes several
  // values.
  std::erase_if(config->arguments, [&](const std::string& argument) {
    const auto option = app.find(argument.substr(0, argument.find('=')));
    return is_given(*option, argc, argv);
  });
  return config;
}

std::optional<int> parse_arguments_with_config(Arguments& app, std::string_view table,
                                               std::string& volume, int argc, char** argv,
                                               ConfigFile* file) {
  auto read = read_config(app, table, argc, argv);
  if (!read) return usage_error(read.error().message());
  ConfigFile& config = *read;
  std::vector<char*> arguments{argv[0]};
  for (std::string& argument : config.arguments) arguments.push_back(argument.data());
  arguments.insert(arguments.end(), argv + 1, argv + argc);
  if (auto status = parse_arguments(app, static_cast<int>(arguments.size()), arguments.data())) {
    return status;
  }
  if (volume.empty() && !config.volume.empty()) {
    auto path = volume_of(config);
    if (!path) return usage_error(fmt::format("{}: {}", config.path, path.error().message()));
    volume = std::move(*path);
  }
  if (volume.empty()) {
    return usage_error(fmt::format(
        "name a file or block device, as an argument or as \"volume\" in the file of --config "
        "(see {} --help)",
        app.name()));
  }
  if (file != nullptr) *file = std::move(config);
  return std::nullopt;
}

}  // namespace uvdo
