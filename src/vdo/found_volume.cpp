// SPDX-License-Identifier: GPL-2.0-or-later
#include "vdo/found_volume.h"

#include <fmt/core.h>

#include "control/server_messages.h"
#include "device/storage_map.h"
#include "format/uuid_text.h"
#include "manage/named_volume.h"
#include "registry/find_storage.h"
#include "vdo/kept_volume.h"

namespace uvdo {
namespace {

/// What the registry has of the volume. Its name alone says nothing: another one may be called so.
std::optional<NamedVolume> registered_volume(const Registry& registry, const std::string& name,
                                             const std::optional<Uuid>& uuid,
                                             const std::string& device) {
  auto named = registry.find(name);
  if (uuid) {
    if (named && named->uuid == *uuid) return std::move(*named);
    return registry.find(*uuid);
  }
  if (named && (named->storage == device || is_same_storage(named->storage, device))) {
    return std::move(*named);
  }
  return std::nullopt;
}

/// The UUID of the volume that somebody serves at the path, whose disk may be away.
std::optional<Uuid> served_uuid(const std::string& path) {
  auto info = ServedVolume{path}.ask(InfoRequest());
  return info ? uuid_of(info->uuid) : std::nullopt;
}

}  // namespace

bool is_same_storage(const std::string& a, const std::string& b) {
  const auto id = StorageId::at(a);
  return id && id == StorageId::at(b);
}

Result<std::optional<ServedVolume>> FoundVolume::server() const {
  if (!is_there()) return std::optional<ServedVolume>();
  ServedVolume served{path};
  auto info = served.ask(InfoRequest());
  if (!info && info.error().code() != Errc::not_found) return std::move(info).error();
  if (!info || uuid_of(info->uuid) != uuid) return std::optional<ServedVolume>();
  return std::optional(std::move(served));
}

Result<FoundVolume> volume_of(const Registry& registry, const std::string& name,
                              const SettingValues& values) {
  using Storage = FoundVolume::Storage;
  FoundVolume found;
  found.path = text_setting(values, "device");
  found.uuid = uuid_of_vdo(text_setting(values, "uuid"));
  found.named = registered_volume(registry, name, found.uuid, found.path);
  if (found.named) {
    found.uuid = found.named->uuid;
    found.path = found.named->storage;
    auto placed = place_named_volume(registry, found.named->name, false);
    if (!placed && placed.error().code() != Errc::not_found) return std::move(placed).error();
    if (placed) {
      found.path = placed->volume.storage;
      found.storage = Storage::there;
    }
    return found;
  }
  auto there = uuid_at(found.path);
  const auto uuid = there ? std::optional(*there) : served_uuid(found.path);
  if (uuid) {
    found.storage = !found.uuid || uuid == found.uuid ? Storage::there : Storage::other;
    if (!found.uuid) found.uuid = uuid;
  } else if (there.error().code() == Errc::not_found && StorageId::at(found.path)) {
    found.storage = Storage::other;
  }
  return found;
}

Result<FoundVolume> volume_that_is_there(const Registry& registry, const std::string& name,
                                         const SettingValues& values) {
  auto found = volume_of(registry, name, values);
  if (!found || found->is_there()) return found;
  return Error(Errc::not_found, fmt::format("it is not at {}", found->path));
}

}  // namespace uvdo
