// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo adopt: gives names to volumes that exist.
#include <algorithm>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "base/print.h"
#include "cli/named_arguments.h"
#include "cli/serve_settings.h"
#include "device/backing_name.h"
#include "manage/lvm_pool.h"
#include "registry/find_storage.h"
#include "vdo/adopt_file.h"

namespace uvdo {
namespace {

struct AdoptArguments {
  std::string name;
  std::string path;
  std::string vdo_conf;
  std::string pool;  ///< of LVM
  bool scan = false;
  bool no_activate = false;
  bool start = false;
  bool json = false;
};

/// A VDO volume on a disk of this machine, and what it is called, if it has a name.
struct FoundVolume {
  ScannedVolume volume;
  std::string name{};
};

std::vector<FoundVolume> scan(const Registry& registry) {
  std::vector<FoundVolume> found;
  for (ScannedVolume& each : scan_disks()) {
    const auto known = registry.find(each.uuid);
    found.push_back({std::move(each), known ? known->name : std::string()});
  }
  return found;
}

int print_scan(const Registry& registry, bool is_json) {
  Json all = Json::array();
  for (const FoundVolume& each : scan(registry)) {
    if (is_json) {
      Json& json =
          all.emplace_back(Json{{"volume", each.volume.path}, {"uuid", to_text(each.volume.uuid)}});
      if (!each.name.empty()) json["name"] = each.name;
    } else {
      print("{}  {}  {}\n", to_text(each.volume.uuid), each.volume.path,
            each.name.empty() ? "has no name" : each.name);
    }
  }
  if (is_json) print("{}\n", json_text(all, 2));
  return kExitOk;
}

/// The only volume on a disk that has no name yet.
Result<std::string> only_nameless(const Registry& registry) {
  std::vector<std::string> paths;
  for (FoundVolume& each : scan(registry)) {
    if (each.name.empty()) paths.push_back(std::move(each.volume.path));
  }
  if (paths.size() == 1) return std::move(paths.front());
  if (paths.empty()) {
    return Error(Errc::not_found, "no disk holds a VDO volume that has no name yet");
  }
  std::string all;
  for (const std::string& path : paths) all += (all.empty() ? "" : ", ") + path;
  return Error(Errc::exists, fmt::format("several disks hold VDO volumes without a name, {}: say "
                                         "which is meant",
                                         all));
}

/// Whether a pool of LVM is meant; its name serves for the volume's if that is left away.
void find_pool(AdoptArguments& arguments) {
  if (arguments.path.empty() && is_lvm_pool_name(arguments.name)) {
    arguments.path = std::exchange(arguments.name, {});
  }
  if (!is_lvm_pool_name(arguments.path)) return;
  arguments.pool = arguments.path;
  if (!arguments.name.empty()) return;
  arguments.name = arguments.pool;
  std::ranges::replace(arguments.name, '/', '-');
}

int adopt(const Registry& registry, const AdoptArguments& arguments, AdoptOptions options) {
  if (arguments.scan) {
    auto path = only_nameless(registry);
    if (!path) return fail(path.error());
    options.path = std::move(*path);
  }
  const std::string& pool = arguments.pool;
  auto adopted = pool.empty() ? adopt_volume(registry, std::move(options))
                              : adopt_lvm_pool(registry, pool, std::move(options.volume));
  if (!adopted) return fail(adopted.error());
  if (!pool.empty() && !arguments.start) {
    if (auto released = release_lvm_pool(pool); !released) return fail(released.error());
  }
  Json json = {{"name", adopted->name},
               {"uuid", to_text(adopted->uuid)},
               {"volume", adopted->storage},
               {"config", registry.path_of(adopted->name)}};
  int status = kExitOk;
  if (!arguments.json) {
    print("{} is the volume {} now, its file {}\n", adopted->storage, adopted->name,
          registry.path_of(adopted->name));
  }
  if (arguments.start) {
    auto started = start_named_volume(registry, adopted->name, {});
    if (!started && !arguments.json) return fail(started.error());
    if (!started) {
      add_error(json, started.error());
      status = kExitFailed;
    } else if (arguments.json) {
      json.update(started_json(*started));
    } else {
      print_devices(*started);
    }
  }
  if (arguments.json) print("{}\n", json_text(json, 2));
  return status;
}

/// Takes over all volumes of a file of the command vdo.
int adopt_file(const Registry& registry, const AdoptArguments& arguments) {
  auto done = adopt_vdo_file(registry, arguments.vdo_conf);
  if (!done) return fail(done.error());
  Json json = {{"adopted", done->adopted}};
  for (const std::string& name : done->adopted) {
    if (!arguments.json) print("{}\n", name);
  }
  for (const Error& each : done->refused) {
    if (arguments.json) {
      add_error(json, each);
    } else {
      warn(each.message());
    }
  }
  if (arguments.json) print("{}\n", json_text(json, 2));
  return done->refused.empty() ? kExitOk : kExitFailed;
}

}  // namespace

int run_adopt(int argc, char** argv) {
  AdoptArguments arguments;
  Arguments app(
      "Gives a name to a VDO volume that exists: one of uvdo, of the kernel, or of a pool of LVM. "
      "The volume itself is not changed. Takes settings of uvdo serve.",
      "uvdo adopt");
  auto name = app.option("NAME", arguments.name, "what it is to be called");
  app.option("VOLUME", arguments.path,
             "its file or block device, MAJOR:MINOR, or VG/POOL, a VDO pool of LVM")
      .transform(backing_store_path);
  app.option("--vdoconf", arguments.vdo_conf,
             "take over all volumes of this file of the command vdo (/etc/vdoconf.yml), with the "
             "names and settings that they have there")
      .excludes(name);
  app.flag("--scan", arguments.scan,
           "look for VDO volumes on all disks: alone shows them, with NAME takes the one that has "
           "no name");
  app.flag("--no-activate", arguments.no_activate, "do not start it at boot");
  app.flag("--start", arguments.start, "start it, too");
  app.flag("--json", arguments.json, "print JSON");
  const NamedServeSettings settings(app);
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  const Registry registry = Registry::of_environment();
  if (!arguments.vdo_conf.empty()) return adopt_file(registry, arguments);
  if (arguments.scan && arguments.name.empty()) return print_scan(registry, arguments.json);
  find_pool(arguments);
  if (arguments.name.empty() || arguments.path.empty() != arguments.scan) {
    return usage_error("say what is to be called how: uvdo adopt NAME VOLUME, or NAME --scan");
  }
  if (auto right = check_volume_name(arguments.name); !right) {
    return usage_error(right.error().message());
  }
  AdoptOptions options;
  options.path = arguments.path;
  options.volume.name = arguments.name;
  options.volume.storage = arguments.path;
  options.volume.is_activated = !arguments.no_activate;
  options.volume.serve = settings.given(argc, argv);
  // The logical volumes of a pool are devices; which those are is LVM's to say.
  if (arguments.pool.empty()) add_usual_settings(options.volume);
  NamedVolume checked = options.volume;
  add_usual_settings(checked);
  if (auto right = check_serve_settings(checked); !right) {
    return usage_error(right.error().message());
  }
  return adopt(registry, arguments, std::move(options));
}

}  // namespace uvdo
