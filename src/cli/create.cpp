// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo create: makes a volume, gives it a name, and starts it.
#include <string>

#include <fmt/core.h>

#include "base/print.h"
#include "cli/format_arguments.h"
#include "cli/named_arguments.h"
#include "cli/serve_settings.h"
#include "cli/volume_name.h"
#include "device/backing_name.h"

namespace uvdo {
namespace {

struct CreateArguments {
  std::string name;
  std::string device;
  std::string file;
  bool no_start = false;
  bool no_activate = false;
  FormatArguments format;
};

/// What the arguments mean, but for the settings; invalid_argument: they are wrong.
Result<CreateOptions> read_options(const Registry& registry, CreateArguments& arguments,
                                   OptionTable settings) {
  if (auto right = check_volume_name(arguments.name); !right) return std::move(right).error();
  if (arguments.device.empty() == arguments.file.empty()) {
    return Error(Errc::invalid_argument,
                 "say what it is made on: --device DEVICE, or --file FILE --size SIZE");
  }
  if (!arguments.device.empty() && !arguments.format.size.empty()) {
    return Error(Errc::invalid_argument,
                 "--size is for a new --file; a volume on a device takes all of it");
  }
  arguments.format.device = arguments.device.empty() ? arguments.file : arguments.device;
  auto format = arguments.format.read();
  if (!format) return std::move(format).error();
  if (auto right = check_preallocation(*format); !right) return std::move(right).error();
  CreateOptions options{{}, std::move(*format)};
  options.volume.name = arguments.name;
  options.volume.storage = arguments.format.device;
  options.volume.is_activated = !arguments.no_activate;
  options.volume.serve = std::move(settings);
  add_usual_settings(options.volume);
  if (auto right = check_serve_settings(options.volume); !right) return std::move(right).error();
  // A name that is taken is told before the user is asked anything.
  if (auto is_free = registry.check_is_free(arguments.name); !is_free) {
    return std::move(is_free).error();
  }
  return options;
}

int create(const Registry& registry, const CreateArguments& arguments,
           const CreateOptions& options) {
  auto created = create_named_volume(registry, options);
  if (!created) return fail(created.error());
  const std::string& name = created->volume.name;
  Json json = {{"name", name},
               {"config", registry.path_of(name)},
               {"info", arguments.format.json_of(created->made)}};
  int status = kExitOk;
  if (!arguments.format.json) {
    arguments.format.print(created->made);
    print("Its name is {}, its file {}\n", name, registry.path_of(name));
  }
  if (!arguments.no_start) {
    auto started = start_named_volume(registry, name, {});
    if (!started) {
      const Error error(started.error().code(),
                        fmt::format("the volume \"{}\" was made, but has not started: {}", name,
                                    started.error().message()));
      if (!arguments.format.json) return fail(error);
      add_error(json, error);
      status = kExitFailed;
    } else if (arguments.format.json) {
      json.update(started_json(*started));
    } else {
      print_devices(*started);
    }
  }
  if (arguments.format.json) print("{}\n", json_text(json, 2));
  return status;
}

}  // namespace

int run_create(int argc, char** argv) {
  CreateArguments arguments;
  Arguments app(
      "Makes a new volume that has a name, and starts it: it is a block device, /dev/uvdo/NAME, "
      "now and after each boot. Takes the options of uvdo format, and settings of uvdo serve.",
      "uvdo create");
  app.option("NAME", arguments.name, "letters, digits, \".\", \"_\", \"+\" and \"-\"").required();
  app.option("--device", arguments.device, "the block device that it is made on")
      .transform(backing_store_path);
  app.option("--file", arguments.file, "the file that it is made in; with --size a new one");
  app.flag("--no-start", arguments.no_start, "do not start it");
  app.flag("--no-activate", arguments.no_activate, "do not start it at boot");
  arguments.format.add_to(app);
  const NamedServeSettings settings(app);
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  const Registry registry = Registry::of_environment();
  auto options = read_options(registry, arguments, settings.given(argc, argv));
  if (!options) return usage_error(options.error().message());
  return create(registry, arguments, *options);
}

}  // namespace uvdo
