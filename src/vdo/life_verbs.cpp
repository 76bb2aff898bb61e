// SPDX-License-Identifier: GPL-2.0-or-later
// start, stop, activate, deactivate, remove and convert.
#include <filesystem>

#include <fmt/core.h>
#include <sys/mount.h>

#include "control/device_message.h"
#include "device/device_users.h"
#include "manage/convert.h"
#include "manage/named_volume.h"
#include "manage/rebuild.h"
#include "manage/stop.h"
#include "registry/find_storage.h"
#include "vdo/kept_volume.h"
#include "vdo/life.h"
#include "vdo/verbs.h"

namespace uvdo {
namespace {

constexpr std::string_view kForce = "--force";
constexpr std::string_view kForceRebuild = "--forceRebuild";

/// Makes a volume writable again that an error has left read-only.
Outcome rebuild(const VerbContext& context, const std::string& name, const ServedVolume& stopped) {
  context.messages.command({"uvdo", "rebuild", stopped.volume, "--yes"});
  StoppedRebuildOptions options;
  options.volume = stopped.volume;
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

Outcome start(VerbContext& context, const std::string& name, ConfVolume& volume) {
  if (auto unfinished = check_is_finished(name, volume)) return unfinished;
  if (!is_enabled(volume.values, "activated")) {
    const std::string text = fmt::format("VDO volume {} is not activated", name);
    if (!context.request.all) return Failure{ExitStatus::wrong_state, text};
    context.messages.info(text + ": it is not started");
    return {};
  }
  const ServedVolume served = served_volume_of(context.registry, name, volume.values);
  auto running = is_running(served);
  if (!running) return failure(ExitStatus::system, "Could not ask for " + name, running.error());
  if (*running) {
    context.messages.warn(fmt::format("VDO volume {} is running already", name));
    return {};
  }
  if (context.request.has(kForceRebuild)) {
    if (auto failed = rebuild(context, name, served)) return failed;
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

Outcome set_activation(VerbContext& context, const std::string& name, ConfVolume& volume,
                       bool is_activated) {
  context.messages.progress(
      fmt::format("{} VDO {}", is_activated ? "Activating" : "Deactivating", name));
  volume.values["activated"] = on_off_text(is_activated);
  if (auto failed = save(context)) return failed;
  if (!context.registry.has(name)) return {};
  auto changed = set_activated(context.registry, name, is_activated);
  if (changed) return {};
  return Failure{ExitStatus::processing, changed.error().message()};
}

/// Whether there is something at the place of the volume.
bool has_storage(const VerbContext& context, const std::string& name, const std::string& device) {
  if (context.registry.has(name)) return place_named_volume(context.registry, name, false).ok();
  std::error_code error;
  return std::filesystem::exists(device, error);
}

/// Takes the volume off its storage and out of the registry. What is another volume by now is left
/// alone.
Outcome remove_storage(VerbContext& context, const std::string& name, const ConfVolume& volume) {
  const std::string device = text_setting(volume.values, "device");
  if (!has_storage(context, name, device) && !context.request.has(kForce)) {
    return Failure{ExitStatus::system,
                   fmt::format("the storage {} of VDO volume {} is not there; --force forgets the "
                               "volume all the same",
                               device, name)};
  }
  const auto failed = [&](const Error& error) {
    return failure(ExitStatus::system, fmt::format("Could not remove {}", name), error);
  };
  if (!context.registry.has(name)) {
    const auto expected = uuid_of_vdo(text_setting(volume.values, "uuid"));
    auto found = uuid_at(device);
    if (!found || (expected && *expected != *found)) return {};
    if (auto kept = keep_in_registry(context.registry, name, volume.values); !kept) {
      return failed(kept.error());
    }
  }
  context.messages.command({"uvdo", "remove", name});
  auto removed = remove_named_volume(context.registry, name, {});
  if (!removed) return failed(removed.error());
  if (removed->storage == RemovedVolume::Storage::not_found) {
    context.messages.warn(fmt::format(
        "the storage {} of VDO volume {} was not there: nothing on it was changed", device, name));
  }
  return {};
}

Outcome remove(VerbContext& context, const std::string& name, ConfVolume& volume) {
  const bool is_half_made = check_is_finished(name, volume).has_value();
  if (is_half_made && !context.request.has(kForce)) return check_is_finished(name, volume);
  context.messages.progress(fmt::format("Removing VDO {}", name));
  if (auto failed = stop_volume(context, name, volume)) return failed;
  if (auto failed = remove_storage(context, name, volume)) return failed;
  context.file.configuration().volumes.erase(std::string(name));
  return save(context);
}

/// Hands a stopped volume over to LVM: from then on it is in no file of this program.
Outcome convert(VerbContext& context, const std::string& name, ConfVolume& volume) {
  if (auto unfinished = check_is_finished(name, volume)) return unfinished;
  const ServedVolume served = served_volume_of(context.registry, name, volume.values);
  const auto failed = [&](const Error& error) {
    return failure(ExitStatus::system, fmt::format("Could not convert {}", name), error);
  };
  auto running = is_running(served);
  if (!running) return failed(running.error());
  if (*running) {
    return Failure{ExitStatus::wrong_state,
                   fmt::format("VDO volume {} is running: stop it before", name)};
  }
  context.messages.progress(fmt::format("Converting VDO {}", name));
  if (auto converted = convert_for_lvm(served.volume); !converted) {
    return failed(converted.error());
  }
  if (context.registry.has(name)) {
    auto lock = context.registry.lock();
    if (!lock) return failed(lock.error());
    if (auto gone = context.registry.remove(name, *lock); !gone) return failed(gone.error());
  }
  context.file.configuration().volumes.erase(std::string(name));
  return save(context);
}

}  // namespace

Outcome check_is_finished(const std::string& name, const ConfVolume& volume) {
  const std::string state = text_setting(volume.values, "_operationState");
  if (state == kFinished) return {};
  return Failure{ExitStatus::wrong_state,
                 fmt::format("an operation on VDO volume {} was broken off (\"{}\"); vdo remove "
                             "--force --name={} clears it away",
                             name, state, name)};
}

Outcome start_volume(VerbContext& context, const std::string& name, const ConfVolume& volume) {
  const Messages& messages = context.messages;
  messages.progress(fmt::format("Starting VDO {}", name));
  const auto failed = [&](const Error& error) {
    return failure(ExitStatus::system, fmt::format("Could not set up device mapper for {}", name),
                   error);
  };
  if (auto kept = keep_in_registry(context.registry, name, volume.values); !kept) {
    return failed(kept.error());
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
  const std::uint64_t instance = statistics && *statistics ? (*statistics)->instance : 0;
  messages.progress(
      fmt::format("VDO instance {} volume is ready at {}", instance, best_path(started->devices)));
  return {};
}

Outcome stop_volume(VerbContext& context, const std::string& name, const ConfVolume& volume) {
  const ServedVolume served = served_volume_of(context.registry, name, volume.values);
  auto running = is_running(served);
  if (!running) return failure(ExitStatus::system, "Could not ask for " + name, running.error());
  if (!*running) {
    context.messages.info(fmt::format("VDO volume {} is not running", name));
    return {};
  }
  context.messages.progress(fmt::format("Stopping VDO {}", name));
  if (context.request.has(kForce)) {
    if (auto failed = unmount(context, name, served)) return failed;
  }
  context.messages.command({"uvdo", "stop", name});
  auto stopped = stop_server(served);
  if (stopped) return {};
  return failure(ExitStatus::system, fmt::format("Could not stop {}", name), stopped.error());
}

ExitStatus vdo_start(const VdoRequest& request, const Messages& messages) {
  return for_chosen(request, messages, start);
}

ExitStatus vdo_stop(const VdoRequest& request, const Messages& messages) {
  return for_chosen(request, messages, stop_volume);
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
