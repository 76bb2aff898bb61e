// SPDX-License-Identifier: GPL-2.0-or-later
// uvdo detach: takes block devices of this machine away that uvdo attach made.
#include <string>
#include <vector>

#include <fmt/core.h>

#include "base/print.h"
#include "cli/command.h"
#include "cli/volume_name.h"
#include "device/backing_name.h"
#include "manage/attach.h"
#include "manage/left_devices.h"

namespace uvdo {
namespace {

Error advised(const Error& error) {
  return {error.code(),
          error.message() +
              (error.code() == Errc::busy ? "; end that first, or give --lazy or --force" : "")};
}

/// A device whose server has died.
Result<void> end_left(const LeftDevice& left, DetachMode mode) {
  if (mode == DetachMode::force) return end_left_device(left);
  return Error(Errc::busy, fmt::format("the server of {} has died, and the device waits for the "
                                       "next one: start it (uvdo attach, uvdo serve), or give "
                                       "--force, and whoever uses the device gets errors",
                                       left.device.path));
}

}  // namespace

int run_detach(int argc, char** argv) {
  std::vector<std::string> wanted;
  bool all = false;
  bool force = false;
  bool lazy = false;
  Arguments app("Takes block devices of this machine away that uvdo attach made.", "uvdo detach");
  app.option("DEVICE", wanted, "a device's path, name or MAJOR:MINOR, or a volume that has one")
      .required()
      .transform(backing_store_path);
  app.flag("--all", all, "all devices of a volume that has several");
  app.flag("--force", force, "also while it is used: who uses it gets errors");
  app.flag("--lazy", lazy, "if it is used, as soon as nobody uses it any more");
  if (auto status = parse_arguments(app, argc, argv)) return *status;
  if (force && lazy) return usage_error("--force and --lazy are two ways: give one");
  const DetachMode mode = force ? DetachMode::force : lazy ? DetachMode::lazy : DetachMode::unused;
  int status = kExitOk;
  for (const std::string& what : wanted) {
    auto found = find_devices(what);
    // A device may have the name of a volume, and comes first.
    if (!found && file_of_volume_name(what)) {
      auto path = volume_path(what, VolumeUse::change);
      found = path ? find_devices(*path) : std::move(path).error();
    }
    if (!found && found.error().code() == Errc::not_found) {
      const std::vector<LeftDevice> left = find_left_devices(what);
      for (const LeftDevice& each : left) {
        if (auto ended = end_left(each, mode); !ended) status = fail(ended.error());
      }
      if (!left.empty()) continue;
    }
    if (!found) {
      status = fail(found.error());
      continue;
    }
    if (found->size() > 1 && !all) {
      std::string names;
      for (const FoundDevice& each : *found)
        names += (names.empty() ? "" : ", ") + each.device.path;
      status = fail(fmt::format("{} has several devices, {}: name one, or give --all", what, names),
                    Errc::invalid_argument);
      continue;
    }
    for (const FoundDevice& each : *found) {
      auto gone = detach_device(each, mode);
      if (!gone) {
        status = fail(advised(gone.error()));
      } else if (!*gone) {
        print("{} is in use; it goes when nobody uses it any more\n", each.device.path);
      }
    }
  }
  return status;
}

}  // namespace uvdo
