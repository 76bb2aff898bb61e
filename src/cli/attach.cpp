// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo attach: makes a volume a block device of this machine.
#include "manage/attach.h"

#include <string>
#include <vector>

#include <fmt/core.h>
#include <unistd.h>

#include "base/child_program.h"
#include "base/print.h"
#include "base/size_text.h"
#include "cli/device_options.h"
#include "cli/serve_settings.h"
#include "cli/served_volume.h"

namespace uvdo {
namespace {

struct AttachArguments {
  ServedVolumeOptions served;
  DeviceOptions device;
  bool read_only = false;
  bool takes_storage_over = false;
  bool foreground = false;
  std::string log_file;
  std::vector<std::string> server_options;
  bool json = false;
};

/// The command becomes the server.
Result<void> become_server(const AttachArguments& arguments) {
  std::vector<std::string> words{"uvdo",
                                 "serve",
                                 arguments.served.volume,
                                 "--until-detached",
                                 "--attach",
                                 arguments.device.kind};
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) words.insert(words.end(), {name, value});
  };
  add("--device-name", arguments.device.name);
  add("--offset", arguments.device.offset);
  add("--size", arguments.device.size);
  add("--minimum-io", arguments.device.block_size == "4096" ? "4096" : "");
  add("--control", arguments.served.control);
  add("--log-file", arguments.log_file);
  if (arguments.read_only) words.emplace_back("--read-only");
  if (arguments.takes_storage_over) words.emplace_back("--take-over");
  words.insert(words.end(), arguments.server_options.begin(), arguments.server_options.end());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execv(this_program().c_str(), argv.data());
  return errno_error(errno, "starting the server");
}

}  // namespace

int run_attach(int argc, char** argv) {
  AttachArguments arguments;
  Arguments app(
      "Makes a volume a block device of this machine, and prints its path. Starts a server in the "
      "background, which ends with uvdo detach; or asks the one that serves the volume.",
      "uvdo attach");
  arguments.served.add_to(app);
  arguments.device.add_to(app);
  app.flag("--read-only", arguments.read_only, "a device that can only be read");
  app.flag("--take-over", arguments.takes_storage_over,
           "of an image of Ceph: shut its server on another machine out, for good");
  app.flag("--foreground", arguments.foreground, "be the server: log here, end with Ctrl-C");
  app.option(
      "--log-file", arguments.log_file,
      "of the server (default: /var/log/uvdo/VOLUME.log, or in ~/.local/state/uvdo); journal: "
      "to systemd's journal");
  app.option("--server-option", arguments.server_options,
             "of uvdo serve, such as --server-option=--cache=1G (repeatable)")
      .one_value_each();
  app.flag("--json", arguments.json, "print JSON");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  auto request = arguments.device.request();
  if (!request) return usage_error(request.error().message());
  request->read_only = arguments.read_only;
  // A loop device takes the rights of root; the file alone does not.
  if (request->kind == DeviceKind::fuse && geteuid() != 0) request->kind = DeviceKind::file;
  if (arguments.foreground) return fail(become_server(arguments).error());
  ServerStart start{arguments.log_file,
                    settings_beside_devices(arguments.served.volume, arguments.server_options)};
  start.options.insert(start.options.end(), arguments.server_options.begin(),
                       arguments.server_options.end());
  start.takes_storage_over = arguments.takes_storage_over;
  if (arguments.read_only) start.options.emplace_back("--read-only");
  auto made = attach_volume(arguments.served.given(), *request, start);
  if (!made) return fail(made.error());
  if (arguments.json) {
    print("{}\n", json_text(fields_json(*made), 2));
  } else {
    print("{}\n", made->path);
  }
  return kExitOk;
}

}  // namespace uvdo
