// SPDX-License-Identifier: GPL-2.0-or-later
// start, stop, activate, deactivate, remove and convert.
#include <fmt/core.h>
#include <sys/mount.h>

#include "control/device_message.h"
#include "device/device_users.h"
#include "manage/convert.h"
#include "manage/named_volume.h"
#include "manage/rebuild.h"
#include "manage/stop.h"
#include "vdo/broken_off.h"
#include "vdo/found_volume.h"
#include "vdo/kept_volume.h"
#include "vdo/life.h"
#include "vdo/verbs.h"

namespace uvdo {
namespace {

constexpr std::string_view kForce = "--force";
constexpr std::string_view kForceRebuild = "--forceRebuild";

/// Makes a volume writable again that an error has left read-only.
Outcome rebuild(const VerbContext& context, const std::string& name, const std::string& path) {
  context.messages.command({"uvdo", "rebuild", path, "--yes"});
  StoppedRebuildOptions options;
  options.volume = path;
  options.accepts_losses = true;
  options.log = [&](const LogLine& line) { context.messages.info(line.text); };
  options.advise = [](const Obstacle& obstacle) {
    return std::string(
        obstacle.kind == Obstacle::Kind::needs_no_rebuild ? "; leave --forceRebuild away" : "");
  };
  auto done = rebuild_stopped_volume(options);
  if (done && done->rebuilt) return {};
  const Error& error = done ? done->rebuilt.error() : done.error();
  const bool is_needless = error.code() == Errc::invalid_argument;
  return failure(is_needless ? ExitStatus::wrong_state : ExitStatus::system,
                 fmt::format("Could not rebuild {}", name), error);
}

Failure not_asked(const std::string& name, const Error& error) {
  return failure(ExitStatus::system, "Could not ask for " + name, error);
}

Outcome start(VerbContext& context, const std::string& name, ConfVolume& volume) {
  if (auto unfinished = check_is_made(name, volume)) return unfinished;
  if (!is_enabled(volume.values, "activated")) {
    const std::string text = fmt::format("VDO volume {} is not activated", name);
    if (!context.request.all) return Failure{ExitStatus::wrong_state, text};
    context.messages.info(text + ": it is not started");
    return {};
  }
  if (auto unfinished = finish_operation(context, name, volume)) return unfinished;
  auto found = volume_of(context.registry, name, volume.values);
  if (!found) return not_asked(name, found.error());
  auto server = found->server();
  if (!server) return not_asked(name, server.error());
  if (*server) {
    context.messages.warn(fmt::format("VDO volume {} is running already", name));
    return {};
  }
  // What lies at its place and is another volume is not rebuilt.
  if (context.request.has(kForceRebuild) && found->is_there()) {
    if (auto failed = rebuild(context, name, found->path)) return failed;
  }
  return start_volume(context, name, volume);
}

/// Unmounts what is mounted of the volume's devices.
Outcome unmount(const VerbContext& context, const std::string& name, const ServedVolume& served) {
  auto answer = served.ask(DevicesRequest());
  if (!answer) return failure(ExitStatus::system, "Could not ask for " + name, answer.error());
  for (const AttachedDevice& device : answer->devices) {
    const auto id = StorageId::at(device.path);
    auto places = id ? DeviceUsers().mounts_of(*id) : std::vector<std::string>();
    while (!places.empty()) {
      context.messages.command({"umount", places.back()});
      if (umount2(places.back().c_str(), 0) != 0) {
        const Error error = errno_error(errno, "unmounting " + places.back());
        return failure(ExitStatus::system, fmt::format("Could not unmount {}", name), error);
      }
      places.pop_back();
    }
  }
  return {};
}

Outcome stop_server_of(const VerbContext& context, const std::string& name,
                       const FoundVolume& found) {
  auto server = found.server();
  if (!server) return not_asked(name, server.error());
  if (!*server) {
    context.messages.info(fmt::format("VDO volume {} is not running", name));
    return {};
  }
  context.messages.progress(fmt::format("Stopping VDO {}", name));
  if (context.request.has(kForce)) {
    if (auto failed = unmount(context, name, **server)) return failed;
  }
  context.messages.command({"uvdo", "stop", name});
  auto stopped = stop_server(**server);
  if (stopped) return {};
  return failure(ExitStatus::system, fmt::format("Could not stop {}", name), stopped.error());
}

/// Stops the volume if it is running. With --force what is mounted of it is unmounted before.
Outcome stop(VerbContext& context, const std::string& name, ConfVolume& volume) {
  auto found = volume_of(context.registry, name, volume.values);
  return found ? stop_server_of(context, name, *found) : not_asked(name, found.error());
}

Outcome set_activation(VerbContext& context, const std::string& name, ConfVolume& volume,
                       bool is_activated) {
  context.messages.progress(
      fmt::format("{} VDO {}", is_activated ? "Activating" : "Deactivating", name));
  volume.values["activated"] = on_off_text(is_activated);
  if (auto failed = save(context)) return failed;
  auto found = volume_of(context.registry, name, volume.values);
  if (!found) return Failure{ExitStatus::processing, found.error().message()};
  if (!found->named) return {};
  auto changed = set_activated(context.registry, found->named->name, is_activated);
  if (changed) return {};
  return Failure{ExitStatus::processing, changed.error().message()};
}

/// Takes a volume that nobody serves off its storage and out of the registry.
Outcome remove_found(const VerbContext& context, const std::string& name, const ConfVolume& volume,
                     const FoundVolume& found) {
  const auto failed = [&](const Error& error) {
    return failure(ExitStatus::system, fmt::format("Could not remove {}", name), error);
  };
  std::string known = found.named ? found.named->name : name;
  if (!found.named) {
    auto kept = keep_in_registry(context.registry, name, volume.values);
    if (!kept) return failed(kept.error());
  }
  context.messages.command({"uvdo", "remove", known});
  RemoveOptions options;
  // One that is away was not stopped: nobody could be asked.
  options.force = !found.is_there();
  auto removed = remove_named_volume(context.registry, known, options);
  if (!removed) return failed(removed.error());
  if (removed->storage == RemovedVolume::Storage::not_found) {
    context.messages.warn(
        fmt::format("the storage {} of VDO volume {} was not there: nothing on it was changed",
                    found.path, name));
  }
  return {};
}

/// Frees the storage of the volume; what is another volume is left alone.
Outcome remove_storage(const VerbContext& context, const std::string& name,
                       const ConfVolume& volume, const FoundVolume& found) {
  const bool is_known = found.named.has_value();
  if (!is_known && context.registry.has(name)) {
    context.messages.warn(fmt::format(
        "another volume of uvdo is called {}: it, and what is at {}, are left as they are", name,
        found.path));
    return {};
  }
  switch (found.storage) {
    case FoundVolume::Storage::there:
      if (auto failed = stop_server_of(context, name, found)) return failed;
      return remove_found(context, name, volume, found);
    case FoundVolume::Storage::away:
      if (!context.request.has(kForce)) {
        return Failure{ExitStatus::system,
                       fmt::format("the storage {} of VDO volume {} is not there, or cannot be "
                                   "read; --force forgets the volume all the same",
                                   found.path, name)};
      }
      return is_known ? remove_found(context, name, volume, found) : Outcome();
    case FoundVolume::Storage::other:
      context.messages.info(
          fmt::format("what is at {} is not VDO volume {}: it is left as it is", found.path, name));
      return {};
  }
  return {};
}

Outcome remove(VerbContext& context, const std::string& name, ConfVolume& volume) {
  const bool is_forced = context.request.has(kForce);
  if (!is_forced) {
    if (auto half_made = check_is_made(name, volume)) return half_made;
  }
  if (auto failed = finish_uuid_change(context, name, volume); failed && !is_forced) return failed;
  auto found = volume_of(context.registry, name, volume.values);
  if (!found) return not_asked(name, found.error());
  context.messages.progress(fmt::format("Removing VDO {}", name));
  if (auto failed = remove_storage(context, name, volume, *found)) return failed;
  context.file.configuration().volumes.erase(std::string(name));
  return save(context);
}

/// Hands a stopped volume over to LVM: from then on it is in no file of this program.
Outcome convert(VerbContext& context, const std::string& name, ConfVolume& volume) {
  if (auto unfinished = finish_operation(context, name, volume)) return unfinished;
  const auto failed = [&](const Error& error) {
    return failure(ExitStatus::system, fmt::format("Could not convert {}", name), error);
  };
  auto found = volume_that_is_there(context.registry, name, volume.values);
  if (!found) return failed(found.error());
  auto server = found->server();
  if (!server) return failed(server.error());
  if (*server) {
    return Failure{ExitStatus::wrong_state,
                   fmt::format("VDO volume {} is running: stop it before", name)};
  }
  context.messages.progress(fmt::format("Converting VDO {}", name));
  if (auto converted = convert_for_lvm(found->path); !converted) return failed(converted.error());
  if (found->named) {
    auto lock = context.registry.lock();
    if (!lock) return failed(lock.error());
    auto gone = context.registry.remove(found->named->name, *lock);
    if (!gone) return failed(gone.error());
  }
  context.file.configuration().volumes.erase(std::string(name));
  return save(context);
}

}  // namespace

Outcome start_volume(VerbContext& context, const std::string& name, ConfVolume& volume) {
  const Messages& messages = context.messages;
  messages.progress(fmt::format("Starting VDO {}", name));
  const auto failed = [&](const Error& error) {
    return failure(ExitStatus::system, fmt::format("Could not set up device mapper for {}", name),
                   error);
  };
  auto kept = keep_in_registry(context.registry, name, volume.values);
  if (!kept) return failed(kept.error());
  const bool is_written = context.file.configuration().version == kConfVersion;
  if (is_written && !uuid_of_vdo(text_setting(volume.values, "uuid"))) {
    volume.values["uuid"] = vdo_uuid_text(kept->uuid);
    if (auto not_saved = save(context)) return not_saved;
  }
  messages.command({"uvdo", "start", name});
  auto started = start_named_volume(context.registry, name, {});
  if (!started) return failed(started.error());
  if (started->moved_from) {
    messages.warn(fmt::format("VDO volume {} has moved from {} to {}", name, *started->moved_from,
                              started->volume.storage));
  }
  if (is_enabled(volume.values, "compression")) {
    messages.progress(fmt::format("Starting compression on VDO {}", name));
  }
  auto statistics = running_statistics({started->volume.storage});
  const std::uint64_t instance = statistics ? statistics->instance : 0;
  messages.progress(
      fmt::format("VDO instance {} volume is ready at {}", instance, best_path(started->devices)));
  return {};
}

ExitStatus vdo_start(const VdoRequest& request, const Messages& messages) {
  return for_chosen(request, messages, start, ConfUse::as_it_is);
}

ExitStatus vdo_stop(const VdoRequest& request, const Messages& messages) {
  return for_chosen(request, messages, stop, ConfUse::as_it_is);
}

ExitStatus vdo_remove(const VdoRequest& request, const Messages& messages) {
  return for_chosen(request, messages, remove);
}

ExitStatus vdo_convert(const VdoRequest& request, const Messages& messages) {
  return for_chosen(request, messages, convert);
}

ExitStatus vdo_activate(const VdoRequest& request, const Messages& messages) {
  return for_chosen(request, messages, [](auto& context, const auto& name, auto& volume) {
    return set_activation(context, name, volume, true);
  });
}

ExitStatus vdo_deactivate(const VdoRequest& request, const Messages& messages) {
  return for_chosen(request, messages, [](auto& context, const auto& name, auto& volume) {
    return set_activation(context, name, volume, false);
  });
}

}  // namespace uvdo
