// SPDX-License-Identifier: GPL-2.0-or-later
#include "vdo/broken_off.h"

#include <fmt/core.h>

#include "format/uuid_text.h"
#include "manage/identity.h"
#include "manage/look.h"
#include "registry/find_storage.h"
#include "vdo/found_volume.h"
#include "vdo/kept_volume.h"
#include "vdo/vdo_size.h"

namespace uvdo {
namespace {

/// In the registry while the UUID is changed: the one that the volume gets. As long as it stands
/// there, the volume has that one or the one of the registry.
constexpr const char* kNextUuid = "next-uuid";

Failure not_changed(const std::string& name, const Error& error) {
  return failure(ExitStatus::system, fmt::format("Could not change {}", name), error);
}

/// Changes what the registry has of the volume; `change` is given it.
template <class Change>
Result<void> change_named(const Registry& registry, const std::string& name, const Change& change) {
  auto lock = registry.lock();
  if (!lock) return std::move(lock).error();
  auto named = registry.find(name);
  if (!named) return std::move(named).error();
  change(*named);
  return registry.replace(*named, *lock);
}

/// The file first: as long as the registry tells of the change, it can be ended.
Outcome settle(VerbContext& context, const std::string& name, ConfVolume& volume,
               const Uuid& uuid) {
  volume.values["uuid"] = vdo_uuid_text(uuid);
  if (auto failed = save(context)) return failed;
  auto changed = change_named(context.registry, name, [&](NamedVolume& named) {
    named.uuid = uuid;
    named.vdo.erase(kNextUuid);
  });
  return changed ? Outcome() : not_changed(name, changed.error());
}

}  // namespace

Outcome check_is_made(const std::string& name, const ConfVolume& volume) {
  if (text_setting(volume.values, kOperationState) != kBeginCreate) return {};
  return Failure{ExitStatus::wrong_state,
                 fmt::format("the making of VDO volume {} was broken off (\"{}\"); vdo remove "
                             "--force --name={} clears it away",
                             name, kBeginCreate, name)};
}

Outcome finish_uuid_change(VerbContext& context, const std::string& name, ConfVolume& volume) {
  auto named = context.registry.find(name);
  if (!named) return {};
  const auto next = uuid_of(named->vdo.text(kNextUuid).value_or(""));
  if (!next) return {};
  const auto told = uuid_of_vdo(text_setting(volume.values, "uuid"));
  // Another volume of that name is none of ours.
  if (told && *told != *next && *told != named->uuid) return {};
  NamedVolume changed = *named;
  changed.uuid = *next;
  if (find_storage(changed)) return settle(context, name, volume, *next);
  auto there = find_storage(*named);
  if (there) return settle(context, name, volume, named->uuid);
  return failure(ExitStatus::wrong_state,
                 fmt::format("the change of the UUID of VDO volume {} was broken off, and its "
                             "storage is not there to end it",
                             name),
                 there.error());
}

Outcome finish_operation(VerbContext& context, const std::string& name, ConfVolume& volume) {
  if (auto half_made = check_is_made(name, volume)) return half_made;
  if (auto failed = finish_uuid_change(context, name, volume)) return failed;
  const std::string state = text_setting(volume.values, kOperationState);
  if (state == kFinished) return {};
  const auto failed = [&](const Error& error) {
    return failure(ExitStatus::wrong_state,
                   fmt::format("an operation on VDO volume {} was broken off (\"{}\"), and the "
                               "volume cannot be asked how far it went",
                               name, state),
                   error);
  };
  auto found = volume_that_is_there(context.registry, name, volume.values);
  if (!found) return failed(found.error());
  auto described = describe_volume(ServedVolume{found->path}, {.replay = false});
  if (!described) return failed(described.error());
  const VolumeDescription& what = described->description;
  volume.values["logicalSize"] = vdo_size_text(what.logical_blocks * kBlockSize);
  volume.values["physicalSize"] = vdo_size_text(what.physical_blocks * kBlockSize);
  volume.values[kOperationState] = kFinished;
  context.messages.info(
      fmt::format("an operation on VDO volume {} was broken off (\"{}\"): its sizes are {} and {}",
                  name, state, volume.values["logicalSize"], volume.values["physicalSize"]));
  return save(context);
}

Outcome change_uuid(VerbContext& context, const std::string& name, ConfVolume& volume,
                    const std::string& path, const Uuid& uuid) {
  auto noted = change_named(context.registry, name,
                            [&](NamedVolume& named) { named.vdo.set(kNextUuid, to_text(uuid)); });
  if (!noted) return not_changed(name, noted.error());
  auto written = set_volume_uuid(path, uuid);
  if (written) return settle(context, name, volume, uuid);
  if (auto failed = finish_uuid_change(context, name, volume)) context.messages.error(*failed);
  return not_changed(name, written.error());
}

Outcome check_uuid_is_free(const VerbContext& context, const std::string& name, const Uuid& uuid) {
  const auto taken = [&](const std::string& other) {
    return Failure{ExitStatus::user, fmt::format("the UUID {} is that of the volume {} already",
                                                 to_text(uuid), other)};
  };
  const auto named = context.registry.find(uuid);
  if (named && named->name != name) return taken(named->name);
  for (const auto& [other, volume] : context.file.configuration().volumes) {
    if (other != name && uuid_of_vdo(text_setting(volume.values, "uuid")) == uuid) {
      return taken(other);
    }
  }
  return {};
}

}  // namespace uvdo
