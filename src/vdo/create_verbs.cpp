// SPDX-License-Identifier: GPL-2.0-or-later
// create and import: a new volume in the configuration file.
#include <bit>
#include <chrono>
#include <filesystem>

#include <fmt/core.h>

#include "base/size_text.h"
#include "format/index_memory.h"
#include "format/uuid_text.h"
#include "manage/identity.h"
#include "manage/look.h"
#include "manage/named_volume.h"
#include "registry/find_storage.h"
#include "vdo/broken_off.h"
#include "vdo/found_volume.h"
#include "vdo/kept_volume.h"
#include "vdo/life.h"
#include "vdo/new_values.h"
#include "vdo/vdo_size.h"
#include "vdo/verbs.h"

namespace uvdo {
namespace {

/// The path of --device; a bare word is a name in /dev.
Result<std::string> device_path(const std::string& text) {
  std::error_code error;
  const std::string path = text.find('/') == std::string::npos ? "/dev/" + text : text;
  if (!std::filesystem::exists(path, error)) {
    return Error(Errc::not_found, fmt::format("Device {} not found.", text));
  }
  return lasting_path(path);
}

/// user: name or device are those of a volume in the file.
Outcome check_is_new(const VerbContext& context, const std::string& name,
                     const std::string& device) {
  const auto& volumes = context.file.configuration().volumes;
  if (const auto found = volumes.find(name); found != volumes.end()) {
    std::string text = fmt::format("VDO volume {} already exists", name);
    if (const auto half_made = check_is_made(name, found->second)) text = half_made->message;
    return Failure{ExitStatus::user, text};
  }
  for (const auto& [other, volume] : volumes) {
    const std::string used = text_setting(volume.values, "device");
    if (used != device && !is_same_storage(used, device)) continue;
    return Failure{ExitStatus::user,
                   fmt::format("Device {} is used by VDO volume {} already", device, other)};
  }
  return {};
}

/// "2 GB": a size as the old command words it.
std::string size_words(std::uint64_t bytes) {
  std::string text = vdo_size_text(bytes);
  text.insert(text.size() - 1, " ");
  return text.ends_with('B') ? text : text + "B";
}

void tell_made(const Messages& messages, const VolumeLayout& layout, bool is_default_size) {
  const auto line = [&](const std::string& text) { messages.progress("      " + text); };
  const SuperBlock& super = layout.super_block;
  const std::uint64_t slab = super.depot.slab.slab_blocks * kBlockSize;
  const std::uint64_t slabs = super.depot.slab_count();
  if (is_default_size) {
    line(fmt::format("Logical blocks defaulted to {} blocks.", super.config.logical_blocks));
  }
  const std::string all = size_words(slabs * slab);
  line(slabs == 1 ? fmt::format("The VDO volume can address {} in 1 data slab.", all)
                  : fmt::format("The VDO volume can address {} in {} data slabs, each {}.", all,
                                slabs, size_words(slab)));
  line(fmt::format("It can grow to address at most {} of physical storage in {} slabs.",
                   size_words(kMaxSlabs * slab), kMaxSlabs));
  line("If a larger maximum size might be needed, use bigger slabs.");
}

std::string advice_of_vdo(const Obstacle& obstacle) {
  switch (obstacle.kind) {
    case Obstacle::Kind::holds_something: return "; --force overwrites it";
    case Obstacle::Kind::too_small: {
      constexpr unsigned kSmallestOfVdo = 15;
      if (obstacle.slab_bits < kSmallestOfVdo || obstacle.needed_bytes != 0) return {};
      return fmt::format("; --vdoSlabSize={} would fit",
                         vdo_size_text((std::uint64_t{1} << obstacle.slab_bits) * kBlockSize));
    }
    case Obstacle::Kind::too_much_memory: return "; give a smaller --vdoLogicalSize or --indexMem";
    default: return {};
  }
}

/// The volume that `values` describe, to be made on `device`.
Result<CreateOptions> create_options(const VerbContext& context, const SettingValues& values,
                                     const std::string& device) {
  const VdoRequest& request = context.request;
  CreateOptions options;
  options.volume = named_volume_of(request.name, values);
  if (const auto level = server_log_level(request)) options.volume.serve.set("log-level", *level);
  FormatRequest& format = options.format.request;
  auto memory = parse_index_memory(text_setting(values, "indexMemory"));
  if (!memory) return std::move(memory).error();
  format.index_memory = *memory;
  format.sparse = is_enabled(values, "indexSparse");
  format.slab_bits =
      static_cast<unsigned>(std::countr_zero(size_setting(values, "slabSize") / kBlockSize));
  if (request.option("--vdoLogicalSize")) {
    format.logical_bytes = size_setting(values, "logicalSize");
  }
  format.uuid = *uuid_of_vdo(text_setting(values, "uuid"));
  using std::chrono::duration_cast;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  format.nonce = static_cast<std::uint64_t>(duration_cast<std::chrono::microseconds>(now).count());
  options.format.path = device;
  options.format.force = request.has("--force");
  options.format.advise = advice_of_vdo;
  options.format.warn_of_memory = [&context](std::uint64_t needed, const MachineMemory& there) {
    context.messages.warn(fmt::format("the volume needs up to {} of memory, and {} is {}",
                                      size_text(needed), there.limit, size_text(there.bytes)));
  };
  return options;
}

/// Makes the volume. Its entry is in the file from before on, so that one that was broken off is
/// seen; where nothing was made it goes again.
Outcome make_volume(VerbContext& context, ConfVolume& volume, const std::string& device) {
  const std::string& name = context.request.name;
  volume.values[kOperationState] = kBeginCreate;
  if (auto failed = save(context)) return failed;
  auto options = create_options(context, volume.values, device);
  auto made = options ? create_named_volume(context.registry, *options)
                      : Result<CreatedVolume>(std::move(options).error());
  if (!made) {
    context.file.configuration().volumes.erase(name);
    if (auto failed = save(context)) return failed;
    const bool is_users = made.error().code() == Errc::exists;
    return Failure{is_users ? ExitStatus::user : ExitStatus::system,
                   fmt::format("vdoformat: {}", made.error().message())};
  }
  const SuperBlock& super = made->made.layout.super_block;
  volume.values["physicalSize"] = vdo_size_text(super.config.physical_blocks * kBlockSize);
  volume.values["logicalSize"] = vdo_size_text(super.config.logical_blocks * kBlockSize);
  volume.values[kOperationState] = kFinished;
  tell_made(context.messages, made->made.layout, !context.request.option("--vdoLogicalSize"));
  return save(context);
}

Outcome start_if_activated(VerbContext& context, ConfVolume& volume) {
  if (!is_enabled(volume.values, "activated")) return {};
  return start_volume(context, context.request.name, volume);
}

Outcome create(VerbContext& context, SettingValues values) {
  const VdoRequest& request = context.request;
  auto device = device_path(values["device"]);
  if (!device) return Failure{ExitStatus::user, device.error().message()};
  if (auto failed = check_is_new(context, request.name, *device)) return failed;
  const auto wanted = uuid_of_vdo(values["uuid"]);
  if (wanted) {
    // Nothing is called so yet: whoever has the UUID is another one.
    if (auto taken = check_uuid_is_free(context, "", *wanted)) return taken;
  }
  values["uuid"] = vdo_uuid_text(wanted ? *wanted : random_uuid());
  values["device"] = *device;
  context.messages.progress(fmt::format("Creating VDO {}", request.name));
  std::vector<std::string> command{"vdoformat", "--uds-memory-size=" + values["indexMemory"]};
  if (const auto size = request.option("--vdoLogicalSize")) {
    command.push_back("--logical-size=" + *size);
  }
  if (request.has("--force")) command.emplace_back("--force");
  command.push_back(*device);
  context.messages.command(command);
  ConfVolume& volume = context.file.configuration().volumes[request.name];
  volume.values = std::move(values);
  if (auto failed = make_volume(context, volume, *device)) return failed;
  return start_if_activated(context, volume);
}

/// What the volume on the device itself says of its settings.
Result<void> read_from_device(SettingValues& values, const std::string& device) {
  auto described = describe_volume(ServedVolume{device}, {.replay = false});
  if (!described) return std::move(described).error();
  const VolumeDescription& what = described->description;
  values["indexMemory"] = what.index.memory;
  values["indexSparse"] = on_off_text(what.index.is_sparse);
  values["logicalSize"] = vdo_size_text(what.logical_blocks * kBlockSize);
  values["physicalSize"] = vdo_size_text(what.physical_blocks * kBlockSize);
  values["slabSize"] = vdo_size_text(what.slabs.blocks * kBlockSize);
  values["uuid"] = "VDO-" + what.uuid;
  return {};
}

/// user: the volume on the device, which has the UUID `there`, or the name, is one that the
/// registry has already. `gets_uuid`: the volume is to get another UUID, as a copy needs one.
Outcome check_may_be_imported(const VerbContext& context, const std::string& device,
                              const Uuid& there, bool gets_uuid) {
  const std::string& name = context.request.name;
  const auto known = context.registry.find(there);
  if (context.registry.has(name) && !(known && known->name == name)) {
    return Failure{ExitStatus::user, fmt::format("the name {} is that of another volume of uvdo "
                                                 "already ({})",
                                                 name, context.registry.path_of(name))};
  }
  if (!known) return {};
  auto placed = place_named_volume(context.registry, known->name, false);
  const bool is_copy = placed && !is_same_storage(placed->volume.storage, device);
  if (gets_uuid ? is_copy : !is_copy && known->name == name) return {};
  return Failure{ExitStatus::user,
                 fmt::format("{} {} the volume \"{}\" of uvdo already{}", device,
                             is_copy ? "has the UUID of" : "is", known->name,
                             is_copy ? "; --uuid= gives a copy one of its own" : "")};
}

Outcome import_volume(VerbContext& context, SettingValues values) {
  const VdoRequest& request = context.request;
  auto device = device_path(values["device"]);
  if (!device) return Failure{ExitStatus::user, device.error().message()};
  if (auto failed = check_is_new(context, request.name, *device)) return failed;
  const auto failed = [&](const Error& error) {
    return failure(ExitStatus::system, fmt::format("Could not import {}", *device), error);
  };
  context.messages.progress(fmt::format("Importing VDO {}", request.name));
  auto there = uuid_at(*device);
  if (!there) return failed(there.error());
  const auto uuid = request.option("--uuid");
  if (auto known = check_may_be_imported(context, *device, *there, uuid.has_value())) return known;
  if (uuid) {
    const auto given = uuid_of_vdo(*uuid);
    const Uuid wanted = given ? *given : random_uuid();
    if (auto taken = check_uuid_is_free(context, request.name, wanted)) return taken;
    if (auto set = set_volume_uuid(*device, wanted); !set) return failed(set.error());
  } else if (auto taken = check_uuid_is_free(context, request.name, *there)) {
    return taken;
  }
  values["device"] = *device;
  if (auto read = read_from_device(values, *device); !read) return failed(read.error());
  auto kept = keep_in_registry(context.registry, request.name, values);
  if (!kept) {
    if (kept.error().code() != Errc::exists) return failed(kept.error());
    return Failure{ExitStatus::user, kept.error().message()};
  }
  ConfVolume& volume = context.file.configuration().volumes[request.name];
  volume.values = std::move(values);
  if (auto not_saved = save(context)) return not_saved;
  return start_if_activated(context, volume);
}

ExitStatus run_new(const VdoRequest& request, const Messages& messages,
                   Outcome (*work)(VerbContext& context, SettingValues values)) {
  // What the arguments say together is looked at before anything is opened.
  auto values = new_values(request);
  if (!values) return tell(messages, {ExitStatus::usage, values.error().message()});
  auto context = open_context(request, messages);
  if (!context) return ExitStatus::processing;
  const Outcome failed = work(*context, std::move(*values));
  return failed ? tell(messages, *failed) : ExitStatus::success;
}

}  // namespace

ExitStatus vdo_create(const VdoRequest& request, const Messages& messages) {
  return run_new(request, messages, create);
}

ExitStatus vdo_import(const VdoRequest& request, const Messages& messages) {
  return run_new(request, messages, import_volume);
}

}  // namespace uvdo
