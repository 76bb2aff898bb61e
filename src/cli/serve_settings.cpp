// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/serve_settings.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/core.h>

#include "base/absolute_path.h"
#include "base/journal_stream.h"
#include "registry/registry.h"

namespace uvdo {
namespace {

/// Settings that are paths, and those that are addresses.
constexpr std::array<std::string_view, 7> kPaths{"fuse",   "control", "tls-cert", "tls-key",
                                                 "tls-ca", "tls-psk", "tls-crl"};
constexpr std::array<std::string_view, 2> kAddresses{"nbd", "metrics"};
constexpr std::string_view kUnixAddress = "unix:";

/// The value wherever the server's current folder is.
std::string made_whole(const std::string& key, const std::string& value) {
  if (value.empty()) return value;
  if (key == "log-file") return absolute_log_name(value);
  if (std::ranges::find(kPaths, key) != kPaths.end()) return absolute_path(value);
  const bool is_address = std::ranges::find(kAddresses, key) != kAddresses.end();
  if (!is_address || !value.starts_with(kUnixAddress)) return value;
  return std::string(kUnixAddress) + absolute_path(value.substr(kUnixAddress.size()));
}

/// How a value stands in a file: a number without quotes, on and off as true and false.
OptionValue value_of(const std::string& text) {
  if (text == "on") return true;
  if (text == "off") return false;
  std::int64_t number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  // "0660" and the like are more than their numbers.
  if (read.ec == std::errc() && std::to_string(number) == text) return number;
  return text;
}

}  // namespace

NamedServeSettings::NamedServeSettings(Arguments& app)
    : app_(app), only_settings_("", "uvdo serve") {
  options_.add_settings_to(app);
  settings_.add_settings_to(only_settings_);
}

bool NamedServeSettings::has(const std::string& key) const {
  return key != "help" && only_settings_.find("--" + key).has_value();
}

OptionTable NamedServeSettings::given(int argc, char** argv) const {
  OptionTable table;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--") break;
    const std::size_t equals = word.find('=');
    const std::string option = word.substr(0, equals);
    const auto shape = app_.find(option);
    if (!word.starts_with("--") || !shape) continue;
    std::string value;
    if (equals != std::string::npos) {
      value = word.substr(equals + 1);
    } else if (!shape->is_flag && i + 1 < argc) {
      value = argv[++i];
    }
    const std::string key = option.substr(2);
    if (!has(key)) continue;
    value = made_whole(key, value);
    if (shape->is_flag) {
      table.set(key, true);
    } else if (shape->takes_several) {
      std::vector<std::string> list = table.list(key);
      list.push_back(std::move(value));
      table.set(key, std::move(list));
    } else {
      table.set(key, value_of(value));
    }
  }
  return table;
}

Result<void> check_serve_settings(const NamedVolume& volume) {
  ServeOptions options;
  Arguments app("", "uvdo serve");
  options.add_to(app);
  std::vector<std::string> words{"uvdo serve", volume.storage};
  const std::vector<std::string> settings = serve_words(volume.serve);
  words.insert(words.end(), settings.begin(), settings.end());
  std::vector<char*> arguments;
  arguments.reserve(words.size());
  for (std::string& word : words) arguments.push_back(word.data());
  std::string complaint;
  const auto status = app.parse(static_cast<int>(arguments.size()), arguments.data(),
                                [&](std::string_view message) {
                                  complaint = message;
                                  return kExitUsage;
                                });
  if (status) return Error(Errc::invalid_argument, complaint);
  return options.check();
}

std::vector<std::string> serve_words(const OptionTable& settings) {
  ServeOptions options;
  Arguments app("", "uvdo serve");
  options.add_to(app);
  return command_line_of(settings, [&](const std::string& key) {
    const auto shape = app.find("--" + key);
    return shape && shape->is_flag;
  });
}

std::vector<std::string> settings_beside_devices(const std::string& path,
                                                 const std::vector<std::string>& options) {
  const NamedVolumes named = Registry::of_environment().all();
  const auto found = std::ranges::find(named.volumes, path, &NamedVolume::storage);
  if (found == named.volumes.end()) return {};
  OptionTable settings = found->serve;
  for (const char* key : {"attach", "ublk", "fuse", "device-name", "log-file"}) settings.erase(key);
  for (const std::string& option : options) {
    if (option.starts_with("--")) settings.erase(option.substr(2, option.find('=') - 2));
  }
  return serve_words(settings);
}

void add_usual_settings(NamedVolume& volume) {
  const auto has = [&](std::string_view key) { return volume.serve.find(key) != nullptr; };
  if (!has("attach") && !has("ublk") && !has("fuse") && !has("nbd")) {
    volume.serve.set("attach", std::vector<std::string>{"auto"});
  }
  const bool has_device = has("attach") || has("ublk") || has("fuse");
  if (has_device && !has("device-name")) volume.serve.set("device-name", volume.name);
}

}  // namespace uvdo
