// SPDX-License-Identifier: GPL-2.0-or-later
// A command line of `vdo`: which verbs there are, what each takes, and what was given.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "vdo/exit_status.h"
#include "vdo/settings.h"

namespace uvdo {

/// What was given: everything that can be wrong with the arguments alone has been looked at.
struct VdoRequest {
  std::string conf_file = "/etc/vdoconf.yml";
  std::string log_file{};
  bool is_verbose = false;
  std::string name{};                          ///< empty: none
  bool all = false;                            ///< --all
  std::set<std::string, std::less<>> flags{};  ///< "--force", "--forceRebuild", "--pending"
  std::map<std::string, std::string, std::less<>> options{};  ///< checked values, by option

  [[nodiscard]] bool has(std::string_view flag) const { return flags.contains(flag); }
  /// Nothing: the option was not given.
  [[nodiscard]] std::optional<std::string> option(std::string_view name_of_option) const;
};

/// How a verb is told which volumes it is about.
enum class VolumeChoice : std::uint8_t {
  none,         ///< about none
  name,         ///< --name, required
  name_or_all,  ///< exactly one of --name and --all
  optional,     ///< at most one of them; neither: all
  list,         ///< --all says which are listed
};

struct VdoVerb {
  std::string_view name;
  std::string_view summary;  ///< a sentence for --help
  VolumeChoice volumes;
  std::optional<SettingVerb> settings{};         ///< whose options it takes
  std::span<const std::string_view> required{};  ///< of its options
  std::span<const std::string_view> flags{};
};

/// Parses what stands behind the verb (argv[0] is the verb). The exit status if there is nothing
/// left to do: help was asked for, or the arguments are wrong and the user has been told.
[[nodiscard]] std::variant<VdoRequest, ExitStatus> parse_command_line(const VdoVerb& verb, int argc,
                                                                      char** argv);

}  // namespace uvdo
