// SPDX-License-Identifier: GPL-2.0-or-later
// What the commands for named volumes share on their command lines.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "manage/named_volume.h"

namespace uvdo {

/// Names, or --all.
class NamedArguments {
 public:
  /// `all` says which volumes --all means.
  void add_to(Arguments& app, const std::string& all);

  /// Calls `act` for each volume that is meant, of --all for those that `is_meant`; goes on after
  /// an error, which the user is told. The exit status.
  int for_each(
      const Registry& registry, const std::function<int(const std::string& name)>& act,
      const std::function<bool(const NamedVolume&)>& is_meant = [](const NamedVolume&) {
        return true;
      }) const;

  [[nodiscard]] bool is_all() const { return all_; }
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }

 private:
  std::vector<std::string> names_;
  bool all_ = false;
};

/// Tells that a volume was found elsewhere.
void tell_moved(const NamedVolume& volume, const std::optional<std::string>& moved_from);

/// Prints where a started volume is to be found: the paths of its devices, a line each.
void print_devices(const StartedVolume& started);
/// The same as JSON.
[[nodiscard]] Json started_json(const StartedVolume& started);

}  // namespace uvdo
