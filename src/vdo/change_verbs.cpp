// SPDX-License-Identifier: GPL-2.0-or-later
// The verbs that change settings and sizes: modify, changeWritePolicy, enable and disable of
// compression and deduplication, growLogical and growPhysical.
#include <fmt/core.h>

#include "control/hello_message.h"
#include "format/uuid_text.h"
#include "manage/grow.h"
#include "vdo/broken_off.h"
#include "vdo/found_volume.h"
#include "vdo/kept_volume.h"
#include "vdo/new_values.h"
#include "vdo/vdo_size.h"
#include "vdo/verbs.h"

namespace uvdo {
namespace {

/// Has the registry, and with it a running server, follow the file. A volume that was never started
/// here is registered by its start.
Outcome follow(VerbContext& context, const std::string& name, const ConfVolume& volume) {
  const auto failed = [&](const Error& error) {
    return failure(ExitStatus::system, fmt::format("Could not change {}", name), error);
  };
  auto found = volume_of(context.registry, name, volume.values);
  if (!found) return failed(found.error());
  if (!found->named) return {};
  auto kept = keep_in_registry(context.registry, name, volume.values);
  return kept ? Outcome() : failed(kept.error());
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
  auto found = volume_of(context.registry, name, before);
  if (!found) return std::move(found).error();
  if (!found->named) return {};
  auto server = found->server();
  if (!server || !*server) return {};  // nobody serves it: nothing waits
  auto hello = (*server)->ask(HelloRequest());
  if (!hello) return std::move(hello).error();
  auto lock = context.registry.lock();
  if (!lock) return std::move(lock).error();
  auto named = context.registry.find(found->named->name);
  if (!named) return std::move(named).error();
  note_values_in_use(*named, start_of_server(hello->pid), before, after);
  return context.registry.replace(*named, *lock);
}

/// Gives a stopped volume another UUID.
Outcome modify_uuid(VerbContext& context, const std::string& name, ConfVolume& volume,
                    const Uuid& uuid) {
  const auto failed = [&](const Error& error) {
    return failure(ExitStatus::system, fmt::format("Could not change {}", name), error);
  };
  if (auto taken = check_uuid_is_free(context, name, uuid)) return taken;
  auto found = volume_that_is_there(context.registry, name, volume.values);
  if (!found) return failed(found.error());
  auto server = found->server();
  if (!server) return failed(server.error());
  if (*server) {
    return Failure{ExitStatus::wrong_state,
                   fmt::format("VDO volume {} is running: its UUID can be changed while it is "
                               "stopped",
                               name)};
  }
  // The registry keeps what is under way.
  if (auto kept = keep_in_registry(context.registry, name, volume.values); !kept) {
    return failed(kept.error());
  }
  return change_uuid(context, name, volume, found->path, uuid);
}

Outcome modify(VerbContext& context, const std::string& name, ConfVolume& volume) {
  if (auto unfinished = finish_operation(context, name, volume)) return unfinished;
  auto changed = changed_values(context.request, volume.values);
  if (!changed) return Failure{ExitStatus::usage, changed.error().message()};
  const auto uuid_text = context.request.option("--uuid");
  if (!uuid_text && *changed == volume.values) return {};
  context.messages.progress(fmt::format("Modifying VDO {}", name));
  if (uuid_text) {
    const auto wanted = uuid_of_vdo(*uuid_text);
    const Uuid uuid = wanted ? *wanted : random_uuid();
    if (auto failed = modify_uuid(context, name, volume, uuid)) return failed;
    (*changed)["uuid"] = vdo_uuid_text(uuid);
  }
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
             const ServedVolume& served, const GrowthRequest& wanted, const char* state) {
  volume.values[kOperationState] = state;
  if (auto failed = save(context)) return failed;
  auto sizes = grow_volume({served, wanted});
  if (sizes) {
    volume.values[kOperationState] = kFinished;
    volume.values["logicalSize"] = vdo_size_text(sizes->logical);
    volume.values["physicalSize"] = vdo_size_text(sizes->physical);
    if (auto failed = save(context)) return failed;
  } else if (auto failed = finish_operation(context, name, volume)) {
    // The volume itself cannot tell either; it is asked again by what is done with it next.
    context.messages.error(*failed);
  }
  if (sizes && sizes->changed) return {};
  const Error error = sizes ? Error(Errc::no_space,
                                    "there is no room for one more slab on its storage; make that "
                                    "larger before")
                            : std::move(sizes).error();
  return failure(ExitStatus::system, fmt::format("Device {} could not be changed", name), error);
}

/// A running volume, and its statistics.
struct Running {
  ServedVolume served;
  VolumeStatistics statistics;
};
/// wrong_state: it is not running.
std::variant<Running, Failure> running_to_grow(VerbContext& context, const std::string& name,
                                               ConfVolume& volume) {
  const auto not_asked = [&](const Error& error) {
    return failure(ExitStatus::system, "Could not ask for " + name, error);
  };
  if (auto unfinished = finish_operation(context, name, volume)) return *unfinished;
  auto found = volume_of(context.registry, name, volume.values);
  if (!found) return not_asked(found.error());
  auto server = found->server();
  if (!server) return not_asked(server.error());
  if (!*server) {
    return Failure{ExitStatus::wrong_state,
                   fmt::format("VDO volume {} must be running to grow", name)};
  }
  auto statistics = running_statistics(**server);
  if (!statistics) return not_asked(statistics.error());
  return Running{std::move(**server), std::move(*statistics)};
}

Outcome grow_logical(VerbContext& context, const std::string& name, ConfVolume& volume) {
  auto now = running_to_grow(context, name, volume);
  if (auto* failed = std::get_if<Failure>(&now)) return *failed;
  const Running& running = *std::get_if<Running>(&now);
  const std::string text = *context.request.option("--vdoLogicalSize");
  const std::uint64_t size = size_setting({{"logicalSize", text}}, "logicalSize");
  const std::uint64_t old = running.statistics.logical_blocks * kBlockSize;
  if (size <= old) {
    return Failure{ExitStatus::user,
                   fmt::format("a logical size of {} is no growth: VDO volume {} has {}", text,
                               name, vdo_size_text(old))};
  }
  context.messages.command({"uvdo", "grow", name, "--logical", text});
  return grow(context, name, volume, running.served, {.logical_bytes = size}, "beginGrowLogical");
}

Outcome grow_physical(VerbContext& context, const std::string& name, ConfVolume& volume) {
  auto now = running_to_grow(context, name, volume);
  if (auto* failed = std::get_if<Failure>(&now)) return *failed;
  context.messages.command({"uvdo", "grow", name, "--physical", "max"});
  return grow(context, name, volume, std::get_if<Running>(&now)->served, {.physical_max = true},
              "beginGrowPhysical");
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
