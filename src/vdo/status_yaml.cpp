// SPDX-License-Identifier: GPL-2.0-or-later
#include "vdo/status_yaml.h"

#include <array>

#include <fmt/core.h>

#include "base/block_types.h"
#include "statistics/statistics_text.h"
#include "vdo/yaml_text.h"

namespace uvdo {
namespace {

constexpr std::string_view kNotAvailable = "not available";

std::string time_text(std::time_t time, const char* format) {
  std::tm parts{};
  std::array<char, 64> text{};
  if (localtime_r(&time, &parts) == nullptr) return {};
  return {text.data(), std::strftime(text.data(), text.size(), format, &parts)};
}

/// "2022-04-13 16:34:12+08:00": the offset has a colon.
std::string time_with_offset(std::time_t time) {
  std::string text = time_text(time, "%Y-%m-%d %H:%M:%S%z");
  if (text.size() > 2) text.insert(text.size() - 2, ":");
  return text;
}

/// What is shown of a setting: numbers as they are, texts as YAML has them.
std::string shown(const Setting& setting, const StatusVolume& volume) {
  const std::string value = text_setting(volume.values, setting.key);
  const auto old = volume.in_use.find(setting.key);
  if (old != volume.in_use.end() && old->second != value) {
    return yaml_scalar(fmt::format("{} [{}]", old->second, value));
  }
  const bool is_number =
      setting.kind == Setting::Kind::number || setting.kind == Setting::Kind::index_memory;
  return is_number ? value : yaml_scalar(value);
}

/// The values of labels of statistics: true and false where there were "on" and "off".
std::string statistics_lines(const StatusVolume& volume, const VolumeStatistics& statistics) {
  std::map<std::string, std::string> sorted;
  for (const auto& [label, value] : statistics_rows(statistics, VdostatsForm::v6)) {
    sorted[label] = value;
  }
  sorted["512 byte emulation"] = statistics.logical_block_size == 512 ? "true" : "false";
  const std::string policy = text_setting(volume.values, "writePolicy");
  sorted["write policy"] = policy == "auto" ? "async" : policy;
  std::string lines = fmt::format("\n      {}:\n", yaml_scalar(volume.path));
  for (const auto& [label, value] : sorted) lines += fmt::format("        {}: {}\n", label, value);
  lines.pop_back();
  return lines;
}

std::string lines_of(const StatusVolume& volume) {
  std::map<std::string, std::string> sorted;
  for (const Setting& setting : settings()) {
    if (setting.label.empty()) continue;
    if (setting.is_of_old_versions && !volume.values.contains(setting.key)) continue;
    sorted[std::string(setting.label)] = shown(setting, volume);
  }
  sorted["Block size"] = std::to_string(kBlockSize);
  const bool is_emulating = number_setting(volume.values, "logicalBlockSize") < kBlockSize;
  sorted["Emulate 512 byte"] = on_off_text(is_emulating);
  std::string& mapper = sorted["Device mapper status"];
  std::string& index = sorted["Index status"];
  std::string& statistics = sorted["VDO statistics"];
  mapper = index = statistics = kNotAvailable;
  if (volume.statistics) {
    mapper = yaml_scalar(device_mapper_status(volume, *volume.statistics));
    index = yaml_scalar(volume.statistics->extra.index_state);
    if (!volume.path.empty()) statistics = statistics_lines(volume, *volume.statistics);
  }
  std::string lines;
  for (const auto& [label, value] : sorted) {
    const char* const blank = value.starts_with('\n') ? "" : " ";
    lines += fmt::format("    {}:{}{}\n", label, blank, value);
  }
  return lines;
}

}  // namespace

std::string device_mapper_status(const StatusVolume& volume, const VolumeStatistics& statistics) {
  return fmt::format(
      "0 {} vdo {} {} {} {} {} {} {}", statistics.logical_blocks * (kBlockSize / 512), volume.node,
      name_of(statistics.mode), statistics.in_recovery_mode ? "recovering" : "-",
      statistics.extra.index_state, statistics.extra.compression ? "online" : "offline",
      statistics.data_blocks_used + statistics.overhead_blocks_used, statistics.physical_blocks);
}

std::string status_yaml(const VdoStatus& status) {
  const std::string changed =
      status.conf_changed ? yaml_scalar(time_text(*status.conf_changed, "%Y-%m-%d %H:%M:%S"))
                          : std::string(kNotAvailable);
  std::string text = fmt::format(
      "VDO status:\n"
      "  Date: {}\n"
      "  Node: {}\n"
      "Kernel module:\n"
      "  Loaded: false\n"
      "  Name: uvdo\n"
      "  Version information:\n"
      "    kvdo version: {}\n"
      "Configuration:\n"
      "  File: {}\n"
      "  Last modified: {}\n",
      yaml_scalar(time_with_offset(status.now)), yaml_scalar(status.node),
      yaml_scalar(status.version),
      status.conf_changed ? yaml_scalar(status.conf_file) : "does not exist", changed);
  if (status.volumes.empty()) return text + "VDOs: {}\n";
  text += "VDOs:\n";
  for (const auto& [name, volume] : status.volumes) {
    text += fmt::format("  {}:\n{}", yaml_scalar(name), lines_of(volume));
  }
  return text;
}

}  // namespace uvdo
