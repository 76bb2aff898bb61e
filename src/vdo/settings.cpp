// SPDX-License-Identifier: GPL-2.0-or-later
#include "vdo/settings.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>

#include <fmt/core.h>

#include "vdo/vdo_size.h"

namespace uvdo {
namespace {

using Kind = Setting::Kind;

constexpr std::uint64_t kKilobyte = 1024;
constexpr std::uint64_t kMegabyte = kKilobyte * 1024;
constexpr std::uint64_t kGigabyte = kMegabyte * 1024;
constexpr std::uint64_t kTerabyte = kGigabyte * 1024;
constexpr std::uint64_t kBlock = 4 * kKilobyte;
constexpr std::uint64_t kCachePerLogicalThread = 16 * kMegabyte;

constexpr std::uint8_t verbs(std::initializer_list<SettingVerb> list) {
  std::uint8_t all = 0;
  for (const SettingVerb verb : list)
    all = static_cast<std::uint8_t>(all | static_cast<std::uint8_t>(verb));
  return all;
}
constexpr std::uint8_t kCreate = verbs({SettingVerb::create});
constexpr std::uint8_t kNew = verbs({SettingVerb::create, SettingVerb::import});
constexpr std::uint8_t kTuned =
    verbs({SettingVerb::create, SettingVerb::import, SettingVerb::modify});
constexpr std::uint8_t kOldTuned = verbs({SettingVerb::create, SettingVerb::modify});
constexpr std::uint8_t kPolicy = verbs({SettingVerb::create, SettingVerb::import,
                                        SettingVerb::modify, SettingVerb::change_write_policy});
constexpr std::uint8_t kLogical = verbs({SettingVerb::create, SettingVerb::grow_logical});

constexpr std::string_view kOn = "enabled";
constexpr std::string_view kOff = "disabled";

constexpr std::array kSettings{
    Setting{.key = "_operationState", .fallback = "finished"},
    Setting{.key = "name"},
    Setting{.key = "device",
            .option = "--device",
            .label = "Storage device",
            .verbs = kNew,
            .help = "absolute path of the block device below the volume; required"},
    Setting{.key = "activated",
            .option = "--activate",
            .label = "Activate",
            .kind = Kind::on_off,
            .fallback = kOn,
            .verbs = kNew,
            .help = "enabled: the volume may be started, and is started at once"},
    Setting{.key = "logicalSize",
            .option = "--vdoLogicalSize",
            .label = "Logical size",
            .kind = Kind::size,
            .verbs = kLogical,
            .least = kBlock,
            .most = 4096 * kTerabyte,
            .takes_sectors = true,
            .help = "size that the volume offers, up to 4P"},
    Setting{.key = "slabSize",
            .option = "--vdoSlabSize",
            .label = "Slab size",
            .kind = Kind::size,
            .fallback = "2G",
            .verbs = kCreate,
            .least = 128 * kMegabyte,
            .most = 32 * kGigabyte,
            .takes_sectors = true,
            .help = "a power of two from 128M to 32G: the unit in which the volume grows, at most "
                    "8192 times"},
    Setting{
        .key = "physicalSize", .label = "Physical size", .kind = Kind::size, .most = UINT64_MAX},
    Setting{.key = "compression",
            .option = "--compression",
            .label = "Compression",
            .kind = Kind::on_off,
            .fallback = kOn,
            .verbs = kNew,
            .help = "whether new data are compressed"},
    Setting{.key = "deduplication",
            .option = "--deduplication",
            .label = "Deduplication",
            .kind = Kind::on_off,
            .fallback = kOn,
            .verbs = kNew,
            .help = "whether new data are deduplicated"},
    Setting{.key = "indexMemory",
            .option = "--indexMem",
            .label = "Index memory setting",
            .kind = Kind::index_memory,
            .fallback = "0.25",
            .verbs = kCreate,
            .help = "memory of the index in gigabytes: 0.25, 0.5, 0.75, or 1 to 1024"},
    Setting{.key = "indexSparse",
            .option = "--sparseIndex",
            .label = "Index sparse",
            .kind = Kind::on_off,
            .fallback = kOff,
            .verbs = kCreate,
            .help = "an index that remembers ten times as much, on ten times the space"},
    Setting{.key = "indexCfreq",
            .label = "Index checkpoint frequency",
            .kind = Kind::number,
            .fallback = "0",
            .most = UINT32_MAX},
    Setting{.key = "indexThreads",
            .label = "Index parallel factor",
            .kind = Kind::number,
            .fallback = "0",
            .most = UINT32_MAX},
    Setting{.option = "--emulate512",
            .kind = Kind::on_off,
            .verbs = kNew,
            .help = "whether the volume takes requests of 512 bytes"},
    Setting{.key = "logicalBlockSize",
            .kind = Kind::number,
            .fallback = "4096",
            .least = 512,
            .most = 4096},
    Setting{.key = "uuid",
            .option = "--uuid",
            .label = "UUID",
            .verbs = kTuned,
            .help = "the volume's UUID; an empty one stands for a new, random one"},
    Setting{.key = "writePolicy",
            .option = "--writePolicy",
            .label = "Configured write policy",
            .kind = Kind::word,
            .fallback = "auto",
            .verbs = kPolicy,
            .words = "sync async async-unsafe auto",
            .help = "when a write is acknowledged: sync, async, async-unsafe, auto"},
    Setting{.key = "blockMapCacheSize",
            .option = "--blockMapCacheSize",
            .label = "Block map cache size",
            .kind = Kind::size,
            .fallback = "128M",
            .verbs = kTuned,
            .least = 128 * kMegabyte,
            .most = 16 * kTerabyte - kBlock,
            .multiple = kBlock,
            .help = "memory for the block map: 128M or more, and 16M for each logical thread"},
    Setting{.key = "blockMapPeriod",
            .option = "--blockMapPeriod",
            .label = "Block map period",
            .kind = Kind::number,
            .fallback = "16380",
            .verbs = kTuned,
            .least = 1,
            .most = 16380,
            .help = "1 to 16380: the smaller, the sooner pages of the block map are written"},
    Setting{.key = "maxDiscardSize",
            .option = "--maxDiscardSize",
            .label = "Max discard size",
            .kind = Kind::size,
            .fallback = "4K",
            .verbs = kTuned,
            .least = kBlock,
            .most = 4 * kGigabyte - kBlock,
            .multiple = kBlock,
            .takes_sectors = true,
            .help = "the most that one discard takes: 4K to less than 4G"},
    Setting{.key = "readCache",
            .option = "--readCache",
            .label = "Read cache",
            .kind = Kind::on_off,
            .verbs = kOldTuned,
            .help = "of version 6.1: kept and shown",
            .is_of_old_versions = true},
    Setting{.key = "readCacheSize",
            .option = "--readCacheSize",
            .label = "Read cache size",
            .kind = Kind::size,
            .verbs = kOldTuned,
            .most = 16 * kTerabyte - 1,
            .help = "of version 6.1: kept and shown",
            .is_of_old_versions = true},
    Setting{.key = "ackThreads",
            .option = "--vdoAckThreads",
            .label = "Acknowledgement threads",
            .kind = Kind::number,
            .fallback = "1",
            .verbs = kTuned,
            .most = 100,
            .help = "0 to 100; kept and shown"},
    Setting{.key = "bioRotationInterval",
            .option = "--vdoBioRotationInterval",
            .label = "Bio rotation interval",
            .kind = Kind::number,
            .fallback = "64",
            .verbs = kNew,
            .least = 1,
            .most = 1024,
            .help = "1 to 1024; kept and shown"},
    Setting{.key = "bioThreads",
            .option = "--vdoBioThreads",
            .label = "Bio submission threads",
            .kind = Kind::number,
            .fallback = "4",
            .verbs = kTuned,
            .least = 1,
            .most = 100,
            .help = "1 to 100; kept and shown"},
    Setting{.key = "cpuThreads",
            .option = "--vdoCpuThreads",
            .label = "CPU-work threads",
            .kind = Kind::number,
            .fallback = "2",
            .verbs = kTuned,
            .least = 1,
            .most = 100,
            .help = "1 to 100; kept and shown"},
    Setting{.key = "hashZoneThreads",
            .option = "--vdoHashZoneThreads",
            .label = "Hash zone threads",
            .kind = Kind::number,
            .fallback = "1",
            .verbs = kTuned,
            .most = 100,
            .help = "0 to 100; kept and shown"},
    Setting{.key = "logicalThreads",
            .option = "--vdoLogicalThreads",
            .label = "Logical threads",
            .kind = Kind::number,
            .fallback = "1",
            .verbs = kTuned,
            .most = 60,
            .help = "0 to 60; kept and shown"},
    Setting{.key = "physicalThreads",
            .option = "--vdoPhysicalThreads",
            .label = "Physical threads",
            .kind = Kind::number,
            .fallback = "1",
            .verbs = kTuned,
            .most = 16,
            .help = "0 to 16; kept and shown"},
    Setting{.option = "--vdoLogLevel",
            .kind = Kind::word,
            .verbs = kNew,
            .words = "critical error warning notice info debug",
            .help = "what the volume's server logs: critical, error, warning, notice, info, debug"},
};

Error unfit(std::string text) { return {Errc::invalid_argument, std::move(text)}; }

Result<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, number);
  if (read.ec != std::errc() || read.ptr != end) {
    return unfit(fmt::format("takes a whole number, not \"{}\"", text));
  }
  return number;
}

Result<std::string> parse_number_setting(const Setting& setting, std::string_view text) {
  auto number = parse_number(text);
  if (!number) return std::move(number).error();
  if (*number < setting.least || *number > setting.most) {
    return unfit(fmt::format("must be {} to {}, not {}", setting.least, setting.most, text));
  }
  return std::to_string(*number);
}

Result<std::string> parse_size_setting(const Setting& setting, std::string_view text) {
  auto bytes =
      parse_vdo_size(text, setting.takes_sectors ? SectorSuffix::allowed : SectorSuffix::refused);
  if (!bytes) return unfit(fmt::format("takes a size: {}", bytes.error().message()));
  // A logical size that is computed need not end at a block.
  if (setting.key == "logicalSize") *bytes -= *bytes % kBlock;
  if (*bytes < setting.least || *bytes > setting.most) {
    return unfit(fmt::format("must be {} to {}, not {}", vdo_size_text(setting.least),
                             vdo_size_text(setting.most), text));
  }
  if (*bytes % setting.multiple != 0) {
    return unfit(
        fmt::format("must be a multiple of {}, not {}", vdo_size_text(setting.multiple), text));
  }
  if (setting.key == "slabSize" && !std::has_single_bit(*bytes)) {
    return unfit(fmt::format("must be a power of two, not {}", text));
  }
  return vdo_size_text(*bytes);
}

Result<std::string> parse_word(std::string_view words, std::string_view text) {
  for (std::string_view rest = words; !rest.empty();) {
    const std::string_view word = rest.substr(0, rest.find(' '));
    if (word == text) return std::string(word);
    rest.remove_prefix(std::min(rest.size(), word.size() + 1));
  }
  return unfit(fmt::format("must be one of these: {}; not \"{}\"", words, text));
}

Result<std::string> parse_index_memory_setting(std::string_view text) {
  std::string value(text);
  // What some languages write for the point.
  std::ranges::replace(value, ',', '.');
  if (value == "0.25" || value == "0.5" || value == "0.75") return value;
  auto number = parse_number(value);
  constexpr std::uint64_t kMost = 1024;
  if (number && *number >= 1 && *number <= kMost) return std::to_string(*number);
  return unfit(fmt::format("must be 0.25, 0.5, 0.75, or 1 to 1024 (gigabytes), not {}", text));
}

}  // namespace

std::span<const Setting> settings() { return kSettings; }

const Setting* setting_of_key(std::string_view key) {
  const auto* found = std::ranges::find(kSettings, key, &Setting::key);
  return key.empty() || found == kSettings.end() ? nullptr : found;
}

const Setting* setting_of_option(std::string_view option) {
  const auto* found = std::ranges::find(kSettings, option, &Setting::option);
  return option.empty() || found == kSettings.end() ? nullptr : found;
}

Result<std::string> parse_setting(const Setting& setting, std::string_view text) {
  switch (setting.kind) {
    case Kind::number: return parse_number_setting(setting, text);
    case Kind::size: return parse_size_setting(setting, text);
    case Kind::on_off: return parse_word("enabled disabled", text);
    case Kind::word: return parse_word(setting.words, text);
    case Kind::index_memory: return parse_index_memory_setting(text);
    case Kind::text: return std::string(text);
  }
  return unfit("is of no kind that is known");
}

SettingValues default_settings() {
  SettingValues values;
  for (const Setting& setting : kSettings) {
    if (!setting.key.empty() && !setting.fallback.empty()) {
      values.emplace(setting.key, setting.fallback);
    }
  }
  return values;
}

std::string text_setting(const SettingValues& values, std::string_view key) {
  if (const auto found = values.find(key); found != values.end()) return found->second;
  const Setting* setting = setting_of_key(key);
  return setting == nullptr ? std::string() : std::string(setting->fallback);
}

std::uint64_t number_setting(const SettingValues& values, std::string_view key) {
  auto number = parse_number(text_setting(values, key));
  return number ? *number : 0;
}

std::uint64_t size_setting(const SettingValues& values, std::string_view key) {
  auto bytes = parse_vdo_size(text_setting(values, key), SectorSuffix::allowed);
  return bytes ? *bytes : 0;
}

bool is_enabled(const SettingValues& values, std::string_view key) {
  return text_setting(values, key) == kOn;
}

std::string on_off_text(bool is_on) { return std::string(is_on ? kOn : kOff); }

Result<void> check_together(const SettingValues& values) {
  const std::array counts{number_setting(values, "hashZoneThreads"),
                          number_setting(values, "logicalThreads"),
                          number_setting(values, "physicalThreads")};
  const auto zeros = std::ranges::count(counts, std::uint64_t{0});
  if (zeros != 0 && zeros != std::ssize(counts)) {
    return unfit(fmt::format(
        "hash zone, logical and physical threads must be all zero or all not: they would be {}, {} "
        "and {}",
        counts[0], counts[1], counts[2]));
  }
  const std::uint64_t needed = counts[1] * kCachePerLogicalThread;
  if (size_setting(values, "blockMapCacheSize") < needed) {
    return unfit(
        fmt::format("{} logical threads take a block map cache of {} or more "
                    "(--blockMapCacheSize), and it would be {}",
                    counts[1], vdo_size_text(needed), text_setting(values, "blockMapCacheSize")));
  }
  return {};
}

}  // namespace uvdo
