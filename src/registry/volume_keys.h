// SPDX-License-Identifier: GPL-2.0-or-later
// The keys that stand above the tables of a volume's file, which is one of --config, too: read in
// one way by both.
#pragma once

#include <string>
#include <string_view>

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include "base/result.h"
#include "registry/named_volume.h"

namespace uvdo {

inline constexpr std::string_view kUuidKey = "uuid";
inline constexpr std::string_view kStorageKey = "volume";
inline constexpr std::string_view kActivateKey = "activate";
inline constexpr std::string_view kLvmPoolKey = "lvm-pool";

/// "PATH, line N: WHAT", invalid_argument.
Error wrong_line(const std::string& path, const toml::source_region& where, std::string_view what);

/// Puts the value of a key of the file `path` into `volume`; false if it is none of those above. A
/// path of `volume` may be relative. invalid_argument: it is no value of that key; with the line.
Result<bool> read_volume_key(const std::string& path, std::string_view key, const toml::node& node,
                             NamedVolume& volume);

}  // namespace uvdo
