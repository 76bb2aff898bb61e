// SPDX-License-Identifier: GPL-2.0-or-later
// The frame of the `uvdo` program: its subcommands, and what they share in parsing and in errors.
// A new subcommand is a file with `int run_xxx(int argc, char** argv)` and one line in
// commands.cpp.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "arguments/arguments.h"
#include "base/json.h"
#include "base/result.h"

namespace uvdo {

/// What scripts rely on: done; it has failed, or what was looked at is not well; wrong arguments.
/// Single commands have others besides (status: 3).
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

struct Command {
  const char* name;
  const char* summary;  ///< one line for `uvdo --help`
  /// argv[0] is the subcommand's name. Returns the exit status.
  int (*run)(int argc, char** argv);
};

/// All subcommands, in the order of the help text.
[[nodiscard]] std::span<const Command> commands();

/// Runs the program.
int run_uvdo(int argc, char** argv);

/// Parses the arguments of a subcommand. The exit status if there is nothing left to do: help was
/// asked for, or the arguments are wrong (then the user has been told).
[[nodiscard]] std::optional<int> parse_arguments(Arguments& app, int argc, char** argv);

/// Adds the argument VOLUME, required: the name of a volume, a path, or MAJOR:MINOR of a block
/// device, which becomes its path.
Arguments::Option add_volume_argument(Arguments& app, std::string& volume);

/// Prints "uvdo: <message>" to stderr; returns kExitFailed. That is what the command has failed of:
/// with --json it stands on standard output, too, when the command has ended.
int fail(const Error& error);
int fail(std::string_view message, Errc code = Errc::io);
/// The same for wrong arguments; returns kExitUsage.
int usage_error(std::string_view message);
/// Prints the same line where the command goes on.
void warn(std::string_view message);
/// Prints it, and puts the error into what the command prints as JSON.
void add_error(Json& json, const Error& error);

// ---- the subcommands

int run_activate(int argc, char** argv);
int run_adopt(int argc, char** argv);
int run_attach(int argc, char** argv);
int run_detach(int argc, char** argv);
int run_list(int argc, char** argv);
int run_bench(int argc, char** argv);
int run_cat(int argc, char** argv);
int run_check(int argc, char** argv);
int run_config(int argc, char** argv);
int run_create(int argc, char** argv);
int run_deactivate(int argc, char** argv);
int run_dump(int argc, char** argv);
int run_estimate(int argc, char** argv);
int run_export(int argc, char** argv);
int run_explain(int argc, char** argv);
int run_format(int argc, char** argv);
int run_grow(int argc, char** argv);
int run_lease(int argc, char** argv);
int run_index(int argc, char** argv);
int run_info(int argc, char** argv);
int run_log_level(int argc, char** argv);
int run_modify(int argc, char** argv);
int run_monitor(int argc, char** argv);
int run_rebuild(int argc, char** argv);
int run_remove(int argc, char** argv);
int run_rename(int argc, char** argv);
int run_flush(int argc, char** argv);
int run_serve(int argc, char** argv);
int run_resume(int argc, char** argv);
int run_set(int argc, char** argv);
int run_standby(int argc, char** argv);
int run_start(int argc, char** argv);
int run_stop(int argc, char** argv);
int run_trim(int argc, char** argv);
int run_upgrade(int argc, char** argv);
int run_suspend(int argc, char** argv);
int run_stats(int argc, char** argv);
int run_status(int argc, char** argv);

}  // namespace uvdo
