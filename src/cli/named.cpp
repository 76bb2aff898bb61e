// SPDX-License-Identifier: GPL-2.0-or-later
// The commands that take names of volumes and little else: start, remove, rename, activate,
// deactivate and config.
#include <string>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "base/file_checks.h"
#include "base/print.h"
#include "cli/named_arguments.h"
#include "cli/question.h"
#include "cli/serve_settings.h"

namespace uvdo {
namespace {

/// Of a volume's file.
constexpr std::size_t kMostBytes = 1U << 20U;

int change_activation(int argc, char** argv, const char* what, const char* command, bool wanted) {
  NamedArguments named;
  Arguments app(what, command);
  named.add_to(app, "all volumes");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  const Registry registry = Registry::of_environment();
  return named.for_each(registry, [&](const std::string& name) {
    auto done = set_activated(registry, name, wanted);
    return done ? kExitOk : fail(done.error());
  });
}

std::string_view text_of(RemovedVolume::Storage storage) {
  switch (storage) {
    case RemovedVolume::Storage::kept: return "it is left as it is";
    case RemovedVolume::Storage::deleted: return "that file is removed";
    case RemovedVolume::Storage::wiped: return "that holds no volume any more";
    case RemovedVolume::Storage::not_found: return "which was not found";
  }
  return "";
}

}  // namespace

int run_start(int argc, char** argv) {
  NamedArguments named;
  StartOptions options;
  bool json = false;
  Arguments app(
      "Starts the servers of named volumes, and prints the paths of their devices. Where the "
      "service manager knows uvdo@NAME.service that is started.",
      "uvdo start");
  named.add_to(app, "all volumes that are activated");
  app.option("--log-file", options.log_file,
             "of the server (default: /var/log/uvdo/NAME.log, or in ~/.local/state/uvdo)");
  app.option("--server-option", options.options,
             "of uvdo serve, this time only, such as --server-option=--cache=1G (repeatable)")
      .one_value_each();
  app.flag("--json", json, "print JSON");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  if (!options.log_file.empty() && (named.is_all() || named.names().size() > 1)) {
    return usage_error("--log-file belongs to one volume; name only that");
  }
  const Registry registry = Registry::of_environment();
  // Of one volume an object is printed, and what it has failed of as of every command.
  const bool is_one = !named.is_all() && named.names().size() == 1;
  Json all = Json::array();
  const int status = named.for_each(
      registry,
      [&](const std::string& name) {
        auto started = start_named_volume(registry, name, options);
        if (!started) {
          if (!json || is_one) return fail(started.error());
          add_error(all.emplace_back(Json{{"name", name}}), started.error());
          return kExitFailed;
        }
        tell_moved(started->volume, started->moved_from);
        if (!json) print_devices(*started);
        if (json) all.push_back(started_json(*started));
        return kExitOk;
      },
      [](const NamedVolume& volume) { return volume.is_activated; });
  if (json && !is_one && status != kExitUsage) print("{}\n", json_text(all, 2));
  if (json && is_one && !all.empty()) print("{}\n", json_text(all.front(), 2));
  return status;
}

int run_remove(int argc, char** argv) {
  NamedArguments named;
  RemoveOptions options;
  bool yes = false;
  Arguments app(
      "Stops named volumes and ends them, with all that is in them: their files are removed, their "
      "disks hold no volume any more.",
      "uvdo remove");
  named.add_to(app, "all volumes");
  app.flag("--keep", options.keep_storage,
           "forget the name only: the volume stays where it is, and uvdo adopt takes it again");
  app.flag("--force", options.force,
           "also while a device of it is used, which then fails, or its storage is not found");
  app.flag("-y,--yes", yes, "do not ask");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  const Registry registry = Registry::of_environment();
  return named.for_each(registry, [&](const std::string& name) {
    auto volume = registry.find(name);
    if (!volume) return fail(volume.error());
    if (!options.keep_storage && !yes) {
      const std::string doubt =
          fmt::format("all that is in the volume \"{}\" on {} is lost", name, volume->storage);
      if (isatty(STDIN_FILENO) == 0) {
        return usage_error(doubt + ": give --yes if that is meant, or --keep to keep it");
      }
      if (!may_go_on(doubt, false)) return fail("nothing was changed", Errc::cancelled);
    }
    auto removed = remove_named_volume(registry, name, options);
    if (!removed) return fail(removed.error());
    print("{} was on {}: {}\n", name, removed->volume.storage, text_of(removed->storage));
    return kExitOk;
  });
}

int run_rename(int argc, char** argv) {
  std::string from;
  std::string to;
  Arguments app("Gives a named volume another name.", "uvdo rename");
  app.option("NAME", from, "the volume").required();
  app.option("NEW", to, "what it is to be called").required();
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  if (auto right = check_volume_name(to); !right) return usage_error(right.error().message());
  auto renamed = rename_named_volume(Registry::of_environment(), from, to);
  return renamed ? kExitOk : fail(renamed.error());
}

int run_activate(int argc, char** argv) {
  return change_activation(argc, argv, "Has named volumes started at boot and by uvdo start --all.",
                           "uvdo activate", true);
}

int run_deactivate(int argc, char** argv) {
  return change_activation(argc, argv,
                           "Has named volumes started by hand only; those that run go on.",
                           "uvdo deactivate", false);
}

int run_config(int argc, char** argv) {
  std::string name;
  bool path_only = false;
  bool check = false;
  Arguments app(
      "Prints the file of a named volume; uvdo modify or an editor changes it, see uvdo-volume(5).",
      "uvdo config");
  app.option("NAME", name, "the volume").required();
  auto path_flag = app.flag("--path", path_only, "print the path of the file");
  app.flag("--check", check, "tell whether all that it says can be used").excludes(path_flag);
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  const Registry registry = Registry::of_environment();
  const std::string path = registry.path_of(name);
  if (!registry.has(name)) return fail(registry.find(name).error());
  if (path_only) {
    print("{}\n", path);
    return kExitOk;
  }
  if (check) {
    auto volume = registry.find(name);
    if (!volume) return fail(volume.error());
    auto right = check_serve_settings(*volume);
    return right ? kExitOk : fail(right.error().within(path));
  }
  auto text = read_small_file(path, kMostBytes);
  if (!text) return fail(text.error());
  print("{}", *text);
  return kExitOk;
}

}  // namespace uvdo
