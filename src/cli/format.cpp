// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo format: makes a new volume, with the options, defaults and limits of vdoformat.
#include "manage/format.h"

#include <string>

#include "base/print.h"
#include "cli/config_file.h"
#include "cli/format_arguments.h"
#include "device/backing_name.h"

namespace uvdo {
namespace {

int format(const FormatArguments& arguments) {
  auto options = arguments.read();
  // Wrong arguments are told before the device is looked at.
  if (!options) return usage_error(options.error().message());
  if (auto right = check_preallocation(*options); !right) {
    return usage_error(right.error().message());
  }
  auto made = format_stopped_volume(*options);
  if (!made) return fail(made.error());
  if (arguments.json) {
    print("{}\n", json_text(arguments.json_of(*made), 2));
  } else {
    arguments.print(*made);
  }
  // Somebody has to be told what was made: where that fails no new file is left behind.
  auto arrived = finish_output();
  if (arrived) return kExitOk;
  // Nobody was told that there is a volume. A file that the command has made is removed; a device,
  // or a file that was there, stays as it is now.
  if (!made->is_new_file) return fail(arrived.error().within("the volume was made"));
  remove_made_volume(*options);
  return fail(arrived.error().within("no volume was made"));
}

}  // namespace

int run_format(int argc, char** argv) {
  FormatArguments arguments;
  Arguments app(
      "Makes a new volume on a file or block device. Sizes take B K M G T P or KiB MiB GiB TiB "
      "PiB.",
      "uvdo format");
  app.option("DEVICE", arguments.device, "file, block device, MAJOR:MINOR of one, or NBD URI")
      .transform(backing_store_path);
  std::string config;
  app.option("--config", config, "TOML file with these options in a table [format]");
  arguments.add_to(app);
  if (auto status = parse_arguments_with_config(app, "format", arguments.device, argc, argv)) {
    return *status;
  }
  return format(arguments);
}

}  // namespace uvdo
