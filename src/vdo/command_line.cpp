// SPDX-License-Identifier: GPL-2.0-or-later
#include "vdo/command_line.h"

#include <algorithm>
#include <vector>

#include <fmt/core.h>

#include "arguments/arguments.h"
#include "base/print.h"
#include "registry/named_volume.h"
#include "vdo/messages.h"

namespace uvdo {
namespace {

struct FlagHelp {
  std::string_view name;
  std::string_view help;
};
constexpr std::array kFlags{
    FlagHelp{"--force", "do it although something stands against it"},
    FlagHelp{"--forceRebuild",
             "rebuild a volume that an error has left read-only, whatever is lost"},
    FlagHelp{"--pending", "show values that wait for the next start, in square brackets"},
};

int complain(std::string_view message) {
  print_error("vdo: ERROR - {}\n", message);
  return static_cast<int>(ExitStatus::usage);
}

/// What was typed, before it is checked.
struct Typed {
  std::string conf_file;
  std::string log_file;
  bool is_verbose = false;
  std::vector<std::string> name;
  bool all = false;
  std::map<std::string, bool, std::less<>> flags{};
  /// The last value counts, as of old.
  std::map<std::string, std::vector<std::string>, std::less<>> options{};
};

/// Adds all that the verb takes; `typed` outlives the parsing.
void add_options(const VdoVerb& verb, Arguments& app, Typed& typed) {
  if (verb.volumes == VolumeChoice::list) {
    app.flag("-a,--all", typed.all, "list the volumes that are not started, too");
  } else if (verb.volumes != VolumeChoice::none) {
    app.option("-n,--name", typed.name, "name of the volume").one_value_each();
    if (verb.volumes != VolumeChoice::name) {
      app.flag("-a,--all", typed.all, "all volumes of the configuration file");
    }
  }
  for (const Setting& setting : settings()) {
    if (setting.option.empty() || !verb.settings || !setting.is_taken_by(*verb.settings)) continue;
    std::string help(setting.help);
    if (!setting.fallback.empty() && *verb.settings != SettingVerb::modify) {
      help += fmt::format(" (default: {})", setting.fallback);
    }
    const std::string option(setting.option);
    app.option(option, typed.options[option], help).one_value_each();
  }
  for (const FlagHelp& flag : kFlags) {
    if (std::ranges::find(verb.flags, flag.name) == verb.flags.end()) continue;
    const std::string name(flag.name);
    app.flag(name, typed.flags[name], std::string(flag.help));
  }
  app.option("-f,--confFile", typed.conf_file, "the configuration file")
      .show_default(typed.conf_file);
  app.option("--logfile", typed.log_file, "file for log lines (default: the system's log)");
  app.flag("--verbose", typed.is_verbose, "print the commands that stand for what is done");
}

/// The words with abbreviated long options written out, and "--option=" with an empty value of its
/// own word. An abbreviation of several options is an error.
Result<std::vector<std::string>> written_out(const Arguments& app, int argc, char** argv) {
  std::vector<std::string> names = app.long_names();
  names.emplace_back("--help");
  std::vector<std::string> words;
  for (int i = 0; i < argc; ++i) {
    const std::string word = argv[i];
    if (!word.starts_with("--") || word == "--") {
      words.push_back(word);
      continue;
    }
    const std::size_t equals = word.find('=');
    std::string name = word.substr(0, equals);
    if (std::ranges::find(names, name) == names.end()) {
      std::vector<std::string> meant;
      for (const std::string& each : names) {
        if (each.starts_with(name) && std::ranges::find(meant, each) == meant.end()) {
          meant.push_back(each);
        }
      }
      if (meant.size() > 1) {
        return Error(Errc::invalid_argument,
                     fmt::format("{} could be {} or {}", name, meant[0], meant[1]));
      }
      if (meant.size() == 1) name = meant.front();
    }
    const std::string value = equals == std::string::npos ? "" : word.substr(equals);
    if (value == "=") {
      words.insert(words.end(), {name, ""});
    } else {
      words.push_back(name + value);
    }
  }
  return words;
}

Result<void> check_choice(const VdoVerb& verb, const Typed& typed) {
  const auto refuse = [](const char* text) { return Error(Errc::invalid_argument, text); };
  if (typed.all && !typed.name.empty()) return refuse("--all and --name exclude one another");
  if (verb.volumes == VolumeChoice::name && typed.name.empty()) {
    return refuse("--name is required");
  }
  if (verb.volumes == VolumeChoice::name_or_all && typed.name.empty() && !typed.all) {
    return refuse("one of --all and --name is required");
  }
  const auto uuid = typed.options.find("--uuid");
  if (typed.all && uuid != typed.options.end() && !uuid->second.empty() &&
      !uuid->second.back().empty()) {
    return refuse(
        "--uuid is that of one volume: with --all only --uuid= is taken, which gives "
        "each one of its own");
  }
  return typed.name.empty() ? Result<void>() : check_volume_name(typed.name.back());
}

Result<VdoRequest> check(const VdoVerb& verb, const Typed& typed) {
  if (auto right = check_choice(verb, typed); !right) return std::move(right).error();
  VdoRequest request{.conf_file = typed.conf_file,
                     .log_file = typed.log_file,
                     .is_verbose = typed.is_verbose,
                     .name = typed.name.empty() ? "" : typed.name.back(),
                     .all = typed.all};
  for (const auto& [flag, is_given] : typed.flags) {
    if (is_given) request.flags.insert(flag);
  }
  for (const auto& [option, values] : typed.options) {
    if (values.empty()) continue;
    auto value = parse_setting(*setting_of_option(option), values.back());
    if (!value) {
      return Error(Errc::invalid_argument, fmt::format("{} {}", option, value.error().message()));
    }
    request.options.emplace(option, std::move(*value));
  }
  for (const std::string_view option : verb.required) {
    if (!request.option(option) && !request.has(option)) {
      return Error(Errc::invalid_argument, fmt::format("{} is required", option));
    }
  }
  return request;
}

}  // namespace

std::optional<std::string> VdoRequest::option(std::string_view name_of_option) const {
  const auto found = options.find(name_of_option);
  return found == options.end() ? std::nullopt : std::optional(found->second);
}

std::variant<VdoRequest, ExitStatus> parse_command_line(const VdoVerb& verb, int argc,
                                                        char** argv) {
  Typed typed;
  typed.conf_file = VdoRequest().conf_file;
  Arguments app(std::string(verb.summary), fmt::format("vdo {}", verb.name));
  add_options(verb, app, typed);
  auto words = written_out(app, argc, argv);
  if (!words) {
    complain(words.error().message());
    return ExitStatus::usage;
  }
  std::vector<char*> pointers;
  pointers.reserve(words->size() + 1);
  for (std::string& word : *words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  if (auto status = app.parse(static_cast<int>(words->size()), pointers.data(), complain)) {
    return static_cast<ExitStatus>(*status);
  }
  auto request = check(verb, typed);
  if (request) return std::move(*request);
  complain(fmt::format("{} (see {} --help)", request.error().message(), app.name()));
  return ExitStatus::usage;
}

}  // namespace uvdo
