// SPDX-License-Identifier: GPL-2.0-or-later
// The table of subcommands, and the program around them.
#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <string>

#include <fmt/core.h>

#include "arguments/version.h"
#include "base/absolute_path.h"
#include "base/print.h"
#include "base/printable.h"
#include "cli/command.h"
#include "cli/top.h"
#include "cli/volume_name.h"
#include "control/error_json.h"
#include "registry/registry.h"

namespace uvdo {
namespace {

constexpr std::array kCommands{
    Command{"create", "make a new volume that has a name", run_create},
    Command{"adopt", "give a name to a volume that exists", run_adopt},
    Command{"start", "start the server of a named volume", run_start},
    Command{"format", "make a new volume on a file or block device", run_format},
    Command{"serve", "serve a volume as a block device (NBD)", run_serve},
    Command{"standby", "wait for a volume's server to go, then serve it", run_standby},
    Command{"attach", "make a volume a block device of this machine", run_attach},
    Command{"detach", "take such a block device away", run_detach},
    Command{"list", "list the volumes of this machine, and who serves them", run_list},
    Command{"status", "tell whether all is well, and what to do if not", run_status},
    Command{"info", "show what a volume is: sizes, layout, state", run_info},
    Command{"monitor", "tell Nagios and its like whether volumes are well", run_monitor},
    Command{"top", "show a served volume at work, live", run_top},
    Command{"stats", "show space used and saved, and all counters", run_stats},
    Command{"set", "change switches of a served volume", run_set},
    Command{"grow", "make a volume larger, in use or stopped", run_grow},
    Command{"lease", "keep servers on several machines apart", run_lease},
    Command{"trim", "give free blocks back to the file or device beneath", run_trim},
    Command{"index", "close, open or make anew the index of a served volume", run_index},
    Command{"flush", "make all that was written to a served volume stable", run_flush},
    Command{"suspend", "pause a served volume and let its device alone", run_suspend},
    Command{"resume", "let a suspended volume go on", run_resume},
    Command{"log-level", "show or change how much a server logs", run_log_level},
    Command{"dump", "print the inside of a served volume as JSON", run_dump},
    Command{"stop", "stop the server of a volume", run_stop},
    Command{"upgrade", "have a server go on with the program that is installed now", run_upgrade},
    Command{"modify", "change the settings of a named volume", run_modify},
    Command{"config", "show the file of a named volume", run_config},
    Command{"activate", "have a named volume started at boot", run_activate},
    Command{"deactivate", "have it started by hand only", run_deactivate},
    Command{"rename", "give a named volume another name", run_rename},
    Command{"remove", "end a named volume, and free its disk or file", run_remove},
    Command{"check", "check a stopped volume for inconsistencies", run_check},
    Command{"rebuild", "make a volume writable again that an error left read-only", run_rebuild},
    Command{"explain", "tell all about one block of a stopped volume", run_explain},
    Command{"cat", "write the contents of a stopped volume to standard output", run_cat},
    Command{"export", "copy the contents of a stopped volume to a sparse file", run_export},
    Command{"estimate", "tell what data would take as a volume", run_estimate},
    Command{"bench", "measure how fast volumes are here", run_bench},
};

/// Commands that change nothing.
constexpr std::array<std::string_view, 13> kTellers{"status", "info",    "monitor", "top", "stats",
                                                    "list",   "dump",    "check",   "cat", "bench",
                                                    "config", "explain", "estimate"};
bool is_teller(std::string_view command) {
  return std::ranges::find(kTellers, command) != kTellers.end();
}

/// Takes --config-dir out of the command line, where every command may have it, and puts it into
/// the environment, where this process and the servers that it starts look. False if it has no
/// value.
bool take_config_folder(int& argc, char** argv) {
  constexpr std::string_view kOption = "--config-dir";
  for (int i = 1; i < argc && std::string_view(argv[i]) != "--"; ++i) {
    const std::string_view word = argv[i];
    const bool has_value =
        word.starts_with(kOption) && word.substr(kOption.size()).starts_with('=');
    if (word != kOption && !has_value) continue;
    if (!has_value && i + 1 == argc) return false;
    const std::string folder(has_value ? word.substr(kOption.size() + 1) : argv[i + 1]);
    if (folder.empty()) return false;
    setenv(kConfigFolderVariable, absolute_path(folder).c_str(), 1);
    const int taken = has_value ? 1 : 2;
    std::copy(argv + i + taken, argv + argc, argv + i);
    argc -= taken;
    argv[argc] = nullptr;
    --i;
  }
  return true;
}

/// Where JSON tells what a command has failed of.
constexpr const char* kErrorKey = "error";

/// What the command has failed of, for --json.
std::optional<Error>& told_error() {
  static std::optional<Error> told;
  return told;
}

/// Whether the command line has --json, also where it is wrong otherwise.
bool wants_json(int argc, char** argv) {
  for (int i = 1; i < argc && std::string_view(argv[i]) != "--"; ++i) {
    if (std::string_view(argv[i]) == "--json") return true;
  }
  return false;
}

int fail_as(std::string_view message, Errc code, int status) {
  warn(message);
  told_error() = Error(code, std::string(message));
  return status;
}

std::string help_text() {
  std::string text =
      "uvdo keeps deduplicated, compressed, thinly provisioned volumes in the format of Linux "
      "dm-vdo.\n\n"
      "Usage: uvdo COMMAND [ARGUMENTS]\n"
      "       uvdo COMMAND --help\n\n"
      "Commands:\n";
  for (const Command& command : kCommands) {
    text += fmt::format("  {:<10} {}\n", command.name, command.summary);
  }
  text +=
      "\nOptions:\n  --help            show this text\n  --version         show the version\n"
      "  --config-dir DIR  where named volumes are kept (of every command)\n";
  return text;
}

}  // namespace

std::span<const Command> commands() { return kCommands; }

namespace {

int run_command(int argc, char** argv) {
  if (argc < 2) {
    print_error("{}", help_text());
    return kExitUsage;
  }
  const std::string_view name = argv[1];
  if (name == "--help" || name == "-h" || name == "help") {
    print("{}", help_text());
    return kExitOk;
  }
  if (name == "--version" || name == "-V") {
    print("uvdo {}\n", kVersion);
    return kExitOk;
  }
  const auto* found = std::ranges::find(kCommands, name, &Command::name);
  if (found == kCommands.end()) {
    return usage_error(fmt::format("there is no command \"{}\"; see uvdo --help", name));
  }
  // A reader that goes away ends who only has something to say; not who has begun to change a
  // volume.
  if (!is_teller(name)) std::signal(SIGPIPE, SIG_IGN);
  return found->run(argc - 1, argv + 1);
}

}  // namespace

int run_uvdo(int argc, char** argv) {
  if (!take_config_folder(argc, argv)) return usage_error("--config-dir needs a folder");
  const int status = run_command(argc, argv);
  // Only what was told by fail() or usage_error(): a command that has printed an object with an
  // error in it (add_error()) is not told twice.
  if (told_error() && wants_json(argc, argv)) {
    print("{}\n", json_text({{kErrorKey, error_json(*told_error())}}));
  }
  // What was printed must have arrived: a full disk behind a pipe is an error too.
  const auto arrived = finish_output();
  const bool has_failed = status == kExitFailed || status == kExitUsage;
  return arrived || has_failed ? status : fail(arrived.error());
}

std::optional<int> parse_arguments(Arguments& app, int argc, char** argv) {
  app.version(fmt::format("uvdo {}", kVersion));
  return app.parse(argc, argv, usage_error);
}

Arguments::Option add_volume_argument(Arguments& app, std::string& volume) {
  const std::string name = app.name();
  const std::string command = name.substr(name.find(' ') + 1);
  const VolumeUse use = command == "serve" || command == "standby" ? VolumeUse::serve
                        : is_teller(command)                       ? VolumeUse::tell
                                                                   : VolumeUse::change;
  return app
      .option("VOLUME", volume,
              "the volume's name, its file or block device, MAJOR:MINOR, or NBD URI")
      .required()
      .transform([use](const std::string& word) { return volume_path(word, use); });
}

void warn(std::string_view message) { print_error("uvdo: {}\n", printable(message)); }

void add_error(Json& json, const Error& error) {
  warn(error.message());
  json[kErrorKey] = error_json(error);
}

int fail(std::string_view message, Errc code) { return fail_as(message, code, kExitFailed); }

int fail(const Error& error) { return fail(error.message(), error.code()); }

int usage_error(std::string_view message) {
  return fail_as(message, Errc::invalid_argument, kExitUsage);
}

}  // namespace uvdo
