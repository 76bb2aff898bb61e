// SPDX-License-Identifier: GPL-2.0-or-later
// The settings of uvdo serve that a named volume keeps: as words of the command lines that give
// them, as a table of its file, and whether uvdo serve would take them.
#pragma once

#include <string>

#include "cli/serve_options.h"
#include "registry/named_volume.h"

namespace uvdo {

/// Adds the settings of uvdo serve to a command, and knows which of them were given to it.
class NamedServeSettings {
 public:
  /// `app` is that of the command; both outlive the parsing.
  explicit NamedServeSettings(Arguments& app);

  /// Those that stand on the command line, which has been parsed. Paths in it, which are meant from
  /// the current folder, are made whole: a server is elsewhere.
  [[nodiscard]] OptionTable given(int argc, char** argv) const;
  /// Whether a volume may keep a setting called so ("cache").
  [[nodiscard]] bool has(const std::string& key) const;

 private:
  Arguments& app_;
  ServeOptions options_;
  ServeOptions settings_;
  Arguments only_settings_;
};

/// Whether uvdo serve would take the settings of the volume; where clients find it may be left to a
/// socket of a service manager. invalid_argument says which it would not.
Result<void> check_serve_settings(const NamedVolume& volume);

/// The settings of a volume as words of uvdo serve, "--cache=256M".
[[nodiscard]] std::vector<std::string> serve_words(const OptionTable& settings);

/// Of the named volume at `path`, if it is one, those that do not say what devices it becomes, nor
/// where its log is: for a server that is started for a certain device. What stands in `options`,
/// words of uvdo serve, is left out, too.
[[nodiscard]] std::vector<std::string> settings_beside_devices(
    const std::string& path, const std::vector<std::string>& options);

/// Gives a new volume a device called as itself, if it is not told how it is to be served.
void add_usual_settings(NamedVolume& volume);

}  // namespace uvdo
