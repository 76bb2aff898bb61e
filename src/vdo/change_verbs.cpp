// SPDX-License-Identifier: GPL-2.0-or-later
// The verbs that change settings and sizes: modify, changeWritePolicy, enable and disable of
// compression and deduplication, growLogical and growPhysical.
#include <fmt/core.h>

#include "control/hello_message.h"
#include "format/uuid_text.h"
#include "manage/grow.h"
#include "manage/identity.h"
#include "manage/look.h"
#include "vdo/kept_volume.h"
#include "vdo/life.h"
#include "vdo/new_values.h"
#include "vdo/vdo_size.h"
#include "vdo/verbs.h"

namespace uvdo {
namespace {

/// Has the registry, and with it a running server, follow the file. A volume that was never started
/// here is registered by its start.
Outcome follow(VerbContext& context, const std::string& name, const ConfVolume& volume) {
  if (!context.registry.has(name)) return {};
  auto kept = keep_in_registry(context.registry, name, volume.values);
  if (kept) return {};
  return failure(ExitStatus::system, fmt::format("Could not change {}", name), kept.error());
}

Outcome set_feature(VerbContext& context, const std::string& name, ConfVolume& volume,
                    const std::string& key, bool is_on) {
  context.messages.progress(
      fmt::format("{} {} on VDO {}", is_on ? "Enabling" : "Disabling", key, name));
  context.messages.command(
      {"uvdo", "modify", name, fmt::format("--{}={}", key, is_on ? "on" : "off")});
  volume.values[key] = on_off_text(is_on);
  if (auto failed = save(context)) return failed;
  return follow(context, name, volume);
}

/// Keeps, while the volume runs, the values with which it was started.
Result<void> note_running_values(const VerbContext& context, const std::string& name,
                                 const SettingValues& before, const SettingValues& after) {
  if (!context.registry.has(name)) return {};
  auto hello = served_volume_of(context.registry, name, before).ask(HelloRequest());
  if (!hello) return {};  // nobody serves it: nothing waits
  auto lock = context.registry.lock();
  if (!lock) return std::move(lock).error();
  auto named = context.registry.find(name);
  if (!named) return std::move(named).error();
  note_values_in_use(*named, hello->pid, before, after);
  return context.registry.replace(*named, *lock);
}

/// Changes the UUID on the storage of a stopped volume, and in the registry.
Outcome change_uuid(VerbContext& context, const std::string& name, const ConfVolume& volume,
                    const Uuid& uuid) {
  const ServedVolume served = served_volume_of(context.registry, name, volume.values);
  const auto failed = [&](const Error& error) {
    return failure(ExitStatus::system, fmt::format("Could not change {}", name), error);
  };
  auto running = is_running(served);
  if (!running) return failed(running.error());
  if (*running) {
    return Failure{ExitStatus::wrong_state,
                   fmt::format("VDO volume {} is running: its UUID can be changed while it is "
                               "stopped",
                               name)};
  }
  if (auto changed = set_volume_uuid(served.volume, uuid); !changed) return failed(changed.error());
  if (!context.registry.has(name)) return {};
  auto lock = context.registry.lock();
  if (!lock) return failed(lock.error());
  auto named = context.registry.find(name);
  if (!named) return failed(named.error());
  named->uuid = uuid;
  auto replaced = context.registry.replace(*named, *lock);
  return replaced ? Outcome() : failed(replaced.error());
}

Outcome modify(VerbContext& context, const std::string& name, ConfVolume& volume) {
  if (auto unfinished = check_is_finished(name, volume)) return unfinished;
  auto changed = changed_values(context.request, volume.values);
  if (!changed) return Failure{ExitStatus::usage, changed.error().message()};
  if (const auto text = context.request.option("--uuid")) {
    const auto wanted = uuid_of_vdo(*text);
    const Uuid uuid = wanted ? *wanted : random_uuid();
    if (auto failed = change_uuid(context, name, volume, uuid)) return failed;
    (*changed)["uuid"] = vdo_uuid_text(uuid);
  }
  if (*changed == volume.values) return {};
  context.messages.progress(fmt::format("Modifying VDO {}", name));
  if (auto noted = note_running_values(context, name, volume.values, *changed); !noted) {
    return Failure{ExitStatus::processing, noted.error().message()};
  }
  volume.values = std::move(*changed);
  if (auto failed = save(context)) return failed;
  return follow(context, name, volume);
}

Outcome change_write_policy(VerbContext& context, const std::string& name, ConfVolume& volume) {
  const std::string policy = *context.request.option("--writePolicy");
  context.messages.progress(fmt::format("Setting write policy of VDO {} to {}", name, policy));
  volume.values["writePolicy"] = policy;
  if (auto failed = save(context)) return failed;
  return follow(context, name, volume);
}

/// Grows a running volume; the file tells meanwhile that this is under way.
Outcome grow(VerbContext& context, const std::string& name, ConfVolume& volume,
             const GrowthRequest& wanted, const char* state) {
  const ServedVolume served = served_volume_of(context.registry, name, volume.values);
  volume.values["_operationState"] = state;
  if (auto failed = save(context)) return failed;
  auto sizes = grow_volume({served, wanted});
  // Broken off or not, a volume that has answered is of one size or the other.
  volume.values["_operationState"] = kFinished;
  if (sizes) {
    volume.values["logicalSize"] = vdo_size_text(sizes->logical);
    volume.values["physicalSize"] = vdo_size_text(sizes->physical);
  }
  if (auto failed = save(context)) return failed;
  if (sizes && sizes->changed) return {};
  const Error error = sizes ? Error(Errc::no_space,
                                    "there is no room for one more slab on its storage; make that "
                                    "larger before")
                            : std::move(sizes).error();
  return failure(ExitStatus::system, fmt::format("Device {} could not be changed", name), error);
}

/// The sizes of a running volume; wrong_state: it is not running.
std::variant<VolumeStatistics, Failure> statistics_to_grow(const VerbContext& context,
                                                           const std::string& name,
                                                           const ConfVolume& volume) {
  if (auto unfinished = check_is_finished(name, volume)) return *unfinished;
  auto statistics = running_statistics(served_volume_of(context.registry, name, volume.values));
  if (!statistics) {
    return failure(ExitStatus::system, "Could not ask for " + name, statistics.error());
  }
  if (*statistics) return std::move(**statistics);
  return Failure{ExitStatus::wrong_state,
                 fmt::format("VDO volume {} must be running to grow", name)};
}

Outcome grow_logical(VerbContext& context, const std::string& name, ConfVolume& volume) {
  auto now = statistics_to_grow(context, name, volume);
  if (auto* failed = std::get_if<Failure>(&now)) return *failed;
  const std::string text = *context.request.option("--vdoLogicalSize");
  const std::uint64_t size = size_setting({{"logicalSize", text}}, "logicalSize");
  const std::uint64_t old = std::get<VolumeStatistics>(now).logical_blocks * kBlockSize;
  if (size <= old) {
    return Failure{ExitStatus::user,
                   fmt::format("a logical size of {} is no growth: VDO volume {} has {}", text,
                               name, vdo_size_text(old))};
  }
  context.messages.command({"uvdo", "grow", name, "--logical", text});
  return grow(context, name, volume, {.logical_bytes = size}, "beginGrowLogical");
}

Outcome grow_physical(VerbContext& context, const std::string& name, ConfVolume& volume) {
  auto now = statistics_to_grow(context, name, volume);
  if (auto* failed = std::get_if<Failure>(&now)) return *failed;
  context.messages.command({"uvdo", "grow", name, "--physical", "max"});
  return grow(context, name, volume, {.physical_max = true}, "beginGrowPhysical");
}

template <bool is_on>
Outcome set_compression(VerbContext& context, const std::string& name, ConfVolume& volume) {
  return set_feature(context, name, volume, "compression", is_on);
}

template <bool is_on>
Outcome set_deduplication(VerbContext& context, const std::string& name, ConfVolume& volume) {
  return set_feature(context, name, volume, "deduplication", is_on);
}

}  // namespace

ExitStatus vdo_modify(const VdoRequest& request, const Messages& messages) {
  return for_chosen(request, messages, modify);
}

ExitStatus vdo_change_write_policy(const VdoRequest& request, const Messages& messages) {
  return for_chosen(request, messages, change_write_policy);
}

ExitStatus vdo_enable_compression(const VdoRequest& request, const Messages& messages) {
  return for_chosen(request, messages, set_compression<true>);
}

ExitStatus vdo_disable_compression(const VdoRequest& request, const Messages& messages) {
  return for_chosen(request, messages, set_compression<false>);
}

ExitStatus vdo_enable_deduplication(const VdoRequest& request, const Messages& messages) {
  return for_chosen(request, messages, set_deduplication<true>);
}

ExitStatus vdo_disable_deduplication(const VdoRequest& request, const Messages& messages) {
  return for_chosen(request, messages, set_deduplication<false>);
}

ExitStatus vdo_grow_logical(const VdoRequest& request, const Messages& messages) {
  return for_chosen(request, messages, grow_logical);
}

ExitStatus vdo_grow_physical(const VdoRequest& request, const Messages& messages) {
  return for_chosen(request, messages, grow_physical);
}

}  // namespace uvdo
