// SPDX-License-Identifier: GPL-2.0-or-later
// Making, adopting, renaming and finding named volumes; what has to do with their servers is in
// named_volume_server.cpp and named_volume_modify.cpp, their end in named_volume_remove.cpp.
#include "manage/named_volume.h"

#include <fmt/core.h>
#include <unistd.h>

#include "manage/free_storage.h"
#include "manage/named_server.h"
#include "registry/find_storage.h"

namespace uvdo {
namespace {

constexpr std::string_view kDeviceName = "device-name";

/// Whether what is at `path` may be overwritten: a volume that has a name is not, also by force.
Result<void> check_is_nameless(const Registry& registry, const std::string& path) {
  auto uuid = uuid_at(path);
  if (!uuid) return {};  // what is no volume, or cannot be read, is for who formats to judge
  const auto known = registry.find(*uuid);
  if (!known) return {};
  return Error(Errc::exists, fmt::format("{} is the volume \"{}\": remove that first, by uvdo "
                                         "remove {}",
                                         path, known->name, known->name));
}

Result<void> check_create(const Registry& registry, const CreateOptions& options) {
  if (auto is_free = registry.check_is_free(options.volume.name); !is_free) return is_free;
  if (auto right = check_storage_path(lasting_path(options.format.path)); !right) return right;
  return check_is_nameless(registry, options.format.path);
}

Result<void> register_volume(const Registry& registry, const NamedVolume& volume) {
  auto lock = registry.lock();
  if (!lock) return std::move(lock).error();
  return registry.add(volume, *lock);
}

}  // namespace

Result<CreatedVolume> create_named_volume(const Registry& registry, const CreateOptions& options) {
  // Before anybody is asked anything; the lock is not held while a person thinks or a disk is
  // written.
  {
    auto lock = registry.lock();
    if (!lock) return std::move(lock).error();
    if (auto allowed = check_create(registry, options); !allowed) {
      return std::move(allowed).error();
    }
  }
  FormatOptions format = options.format;
  // Again when nobody else can take or change what is there.
  format.last_check = [&] { return check_create(registry, options); };
  auto made = format_stopped_volume(format);
  if (!made) return std::move(made).error();
  CreatedVolume created{options.volume, std::move(*made)};
  created.volume.uuid = created.made.layout.geometry.uuid;
  created.volume.storage = lasting_path(options.format.path);
  auto added = register_volume(registry, created.volume);
  if (added) return created;
  // A volume that nobody would find is not left behind.
  const FreedFile file = created.made.is_new_file ? FreedFile::removed : FreedFile::kept;
  auto freed = free_storage(options.format.path, created.volume.uuid, file);
  if (!freed) return freed.error().within(added.error().message());
  return std::move(added).error();
}

Result<NamedVolume> adopt_volume(const Registry& registry, AdoptOptions options) {
  auto uuid = uuid_at(options.path);
  if (!uuid) return std::move(uuid).error();
  options.volume.uuid = *uuid;
  options.volume.storage = lasting_path(options.path);
  auto added = register_volume(registry, options.volume);
  if (!added) return std::move(added).error();
  return std::move(options.volume);
}

Result<PlacedVolume> place_named_volume(const Registry& registry, const std::string& name,
                                        bool record) {
  auto volume = registry.find(name);
  if (!volume) return std::move(volume).error();
  PlacedVolume placed{std::move(*volume)};
  // What LVM has, by whatever name, is not to be touched: only the map of uvdo's own is.
  if (!placed.volume.lvm_pool.empty()) {
    auto uuid = uuid_at(placed.volume.storage);
    if (uuid && *uuid == placed.volume.uuid) return placed;
    return Error(Errc::not_found,
                 fmt::format("the volume \"{}\" is the data of the pool {} of LVM, which uvdo does "
                             "not have: uvdo start {} takes it",
                             name, placed.volume.lvm_pool, name));
  }
  auto found = find_storage(placed.volume);
  if (!found) {
    // A server has it still, as one that is suspended while its disk is away.
    if (server_of(placed.volume)) return placed;
    return std::move(found).error();
  }
  if (!found->has_moved) return placed;
  placed.moved_from = std::exchange(placed.volume.storage, found->path);
  // Who may not write there finds it again each time.
  if (!record || access(registry.path_of(name).c_str(), W_OK) != 0) return placed;
  auto lock = registry.lock();
  if (!lock) return std::move(lock).error();
  auto now = registry.find_again(placed.volume);
  if (!now) return std::move(now).error();
  now->storage = found->path;
  if (auto replaced = registry.replace(*now, *lock); !replaced) return std::move(replaced).error();
  return placed;
}

Result<void> rename_named_volume(const Registry& registry, const std::string& from,
                                 const std::string& to) {
  auto placed = place_named_volume(registry, from, false);
  auto known = placed ? std::move(placed->volume) : registry.find(from);
  if (!known) return std::move(known).error();
  if (!known->vdo.empty()) {
    return Error(Errc::unsupported,
                 fmt::format("the command vdo keeps the volume \"{}\" by this name, too: forget it "
                             "there and adopt it by its new one, which then has only the settings "
                             "of uvdo (uvdo remove {} --keep; uvdo adopt {} {})",
                             from, from, to, known->storage));
  }
  auto server = server_of(*known);
  if (server) {
    return Error(Errc::busy,
                 fmt::format("the volume \"{}\" is being served, with devices of that name: stop "
                             "it first, by uvdo stop {}",
                             from, from));
  }
  if (server.error().code() != Errc::not_found) return std::move(server).error();
  auto lock = registry.lock();
  if (!lock) return std::move(lock).error();
  auto volume = registry.find_again(*known);
  if (!volume) return std::move(volume).error();
  if (auto renamed = registry.rename(from, to, *lock); !renamed) return renamed;
  volume->name = to;
  // A device that was called as its volume goes on to be.
  if (volume->serve.text(kDeviceName) != from) return {};
  volume->serve.set(kDeviceName, to);
  return registry.replace(*volume, *lock);
}

Result<bool> set_activated(const Registry& registry, const std::string& name, bool is_activated) {
  auto lock = registry.lock();
  if (!lock) return std::move(lock).error();
  auto volume = registry.find(name);
  if (!volume) return std::move(volume).error();
  if (volume->is_activated == is_activated) return false;
  volume->is_activated = is_activated;
  if (auto replaced = registry.replace(*volume, *lock); !replaced) {
    return std::move(replaced).error();
  }
  return true;
}

}  // namespace uvdo
