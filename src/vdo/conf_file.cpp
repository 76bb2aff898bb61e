// SPDX-License-Identifier: GPL-2.0-or-later
#include "vdo/conf_file.h"

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include "base/file_checks.h"
#include "base/file_lock.h"
#include "base/replace_file.h"
#include "vdo/yaml_text.h"

namespace uvdo {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostConfBytes = std::size_t{16} << 20;
constexpr std::string_view kComment =
    "####################################################################\n"
    "# Written by the command vdo of uvdo: do not change it by hand.\n"
    "####################################################################\n";

Error not_understood(const std::string& what) { return {Errc::corrupt, what}; }

/// Emits what this program does not know as it stands there. The library forgets the quotes of
/// texts, and without them some would be numbers.
void emit_unknown(YAML::Emitter& out, const YAML::Node& node) {
  constexpr const char* kTagOfQuoted = "!";
  if (node.IsMap()) {
    out << YAML::BeginMap;
    for (const auto& field : node) {
      out << YAML::Key;
      emit_unknown(out, field.first);
      out << YAML::Value;
      emit_unknown(out, field.second);
    }
    out << YAML::EndMap;
  } else if (node.IsSequence()) {
    out << YAML::BeginSeq;
    for (const auto& each : node) emit_unknown(out, each);
    out << YAML::EndSeq;
  } else if (node.IsScalar() && node.Tag() == kTagOfQuoted) {
    out << YAML::DoubleQuoted << node.Scalar();
  } else {
    out << node;
  }
}

/// A map or a list stands below its key.
std::string unknown_value(const YAML::Node& node) {
  YAML::Emitter out;
  emit_unknown(out, node);
  const bool has_lines = (node.IsMap() || node.IsSequence()) && node.size() > 0;
  return (has_lines ? "\n" : "") + std::string(out.c_str());
}

Result<ConfVolume> read_volume(const std::string& name, const YAML::Node& node) {
  if (!node.IsMap()) {
    return not_understood(fmt::format("the volume {} has no fields", name));
  }
  ConfVolume volume;
  for (const auto& field : node) {
    const std::string key = field.first.as<std::string>();
    const Setting* setting = setting_of_key(key);
    if (setting == nullptr || !(field.second.IsScalar() || field.second.IsNull())) {
      volume.unknown[key] = unknown_value(field.second);
      continue;
    }
    // A volume without a UUID of its own in the file is known by that of its device.
    if (field.second.IsNull() || field.second.Scalar().empty()) continue;
    // What is beyond the limits, since somebody has written it there, stays as it is.
    auto value = parse_setting(*setting, field.second.Scalar());
    volume.values[key] = value ? *value : field.second.Scalar();
  }
  volume.values["name"] = name;
  return volume;
}

Result<Configuration> read_root(const YAML::Node& root) {
  Configuration configuration;
  if (root.IsNull()) return configuration;
  if (!root.IsMap() || !root["config"] || !root["config"].IsMap()) {
    return not_understood("there is no map \"config\"");
  }
  configuration.version = 0;
  for (const auto& field : root["config"]) {
    const std::string key = field.first.as<std::string>();
    if (key == "version") {
      configuration.version = field.second.as<std::uint64_t>();
    } else if (key != "vdos") {
      configuration.unknown[key] = unknown_value(field.second);
    } else if (!field.second.IsNull()) {
      if (!field.second.IsMap()) return not_understood("\"vdos\" is no map");
      for (const auto& each : field.second) {
        const std::string name = each.first.as<std::string>();
        auto volume = read_volume(name, each.second);
        if (!volume) return std::move(volume).error();
        configuration.volumes[name] = std::move(*volume);
      }
    }
  }
  return configuration;
}

/// The value of a known key: numbers are no texts. What somebody has written there instead of one
/// is as it was, and may be anything.
std::string known_value(std::string_view key, const std::string& value) {
  const Setting* setting = setting_of_key(key);
  const bool is_number = setting != nullptr && (setting->kind == Setting::Kind::number ||
                                                setting->kind == Setting::Kind::index_memory);
  const bool has_only_digits =
      !value.empty() && value.find_first_not_of("0123456789") == std::string::npos;
  if (is_number && (has_only_digits || parse_setting(*setting, value))) return value;
  return yaml_scalar(value);
}

/// One field, indented by so many blanks; a value that begins with a line feed stands below its
/// key.
std::string field_lines(std::size_t indent, const std::string& key, const std::string& value) {
  const std::string margin(indent, ' ');
  if (!value.starts_with('\n')) return fmt::format("{}{}: {}\n", margin, yaml_scalar(key), value);
  std::string lines = fmt::format("{}{}:\n", margin, yaml_scalar(key));
  for (std::string_view rest = std::string_view(value).substr(1); !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    lines += fmt::format("{}  {}\n", margin, line);
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
  }
  return lines;
}

std::string volume_lines(const std::string& name, const ConfVolume& volume) {
  UnknownFields fields = volume.unknown;
  for (const auto& [key, value] : volume.values) fields[key] = known_value(key, value);
  std::string lines = fmt::format("    {}: !VDOService\n", yaml_scalar(name));
  for (const auto& [key, value] : fields) lines += field_lines(6, key, value);
  return lines;
}

/// Where a link leads: the link stays when the file is replaced.
std::string real_path(const std::string& path) {
  std::error_code error;
  const fs::path found = fs::weakly_canonical(path, error);
  return error ? path : found.string();
}

}  // namespace

Result<Configuration> parse_configuration(std::string_view text) {
  try {
    return read_root(YAML::Load(std::string(text)));
  } catch (const YAML::Exception& error) {
    return not_understood(error.what());
  }
}

std::string configuration_text(const Configuration& configuration) {
  UnknownFields fields = configuration.unknown;
  fields["version"] = std::to_string(configuration.version);
  std::string volumes;
  for (const auto& [name, volume] : configuration.volumes) volumes += volume_lines(name, volume);
  std::string text = "config: !Configuration\n";
  const std::string vdos = volumes.empty() ? "  vdos: {}\n" : "  vdos:\n" + volumes;
  bool is_written = false;
  for (const auto& [key, value] : fields) {
    if (!is_written && key > "vdos") {
      text += vdos;
      is_written = true;
    }
    text += field_lines(2, key, value);
  }
  return text;
}

Result<Configuration> read_configuration(const std::string& path) {
  if (access(path.c_str(), F_OK) != 0 && errno == ENOENT) return Configuration();
  auto text = read_small_file(path, kMostConfBytes);
  if (!text) return std::move(text).error();
  auto configuration = parse_configuration(*text);
  if (configuration) return configuration;
  return Error(Errc::corrupt,
               fmt::format("{} cannot be understood: {}", path, configuration.error().message()));
}

Result<LockedConfFile> LockedConfFile::take(const std::string& given_path, Patience patience) {
  const std::string path = real_path(given_path);
  const std::string lock_path = path + ".lock";
  auto lock =
      open_checked(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FileKind::regular, 0600);
  if (!lock) return std::move(lock).error();
  // The kernel takes the lock of a `vdo` that has ended: there is always somebody to wait for.
  const LockPatience how_long(patience == Patience::none ? std::chrono::hours(0)
                                                         : std::chrono::hours(24 * 365));
  const bool is_taken = lock_file(lock->get(), false, how_long);
  if (!is_taken) {
    return Error(Errc::busy, fmt::format("another vdo is changing {}", path));
  }
  auto configuration = read_configuration(path);
  if (!configuration) return std::move(configuration).error();
  return LockedConfFile(path, std::move(*lock), std::move(*configuration));
}

Result<void> LockedConfFile::save() const {
  if (configuration_.version != kConfVersion) {
    return Error(Errc::unsupported,
                 fmt::format("{} is of version {}, and this program writes {} only: nothing was "
                             "written",
                             path_, configuration_.version, kConfVersion));
  }
  constexpr mode_t kMode = 0644;
  return replace_file(path_, std::string(kComment) + configuration_text(configuration_), kMode);
}

}  // namespace uvdo
