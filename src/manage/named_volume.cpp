// SPDX-License-Identifier: GPL-2.0-or-later
// Making, adopting, renaming and finding named volumes; what has to do with their servers is in
// named_volume_server.cpp and named_volume_modify.cpp, their end in named_volume_remove.cpp.
#include "manage/named_volume.h"

#include <filesystem>

#include <fmt/core.h>
#include <unistd.h>

#include "control/hello_message.h"
#include "manage/served_volume.h"
#include "manage/start_server.h"
#include "registry/find_storage.h"

namespace uvdo {
namespace {

constexpr std::string_view kDeviceName = "device-name";

Error taken(const Registry& registry, const std::string& name) {
  return {Errc::exists,
          fmt::format("there is a volume \"{}\" already, {}", name, registry.path_of(name))};
}

Result<void> check_name_is_free(const Registry& registry, const std::string& name) {
  if (auto checked = check_volume_name(name); !checked) return checked;
  if (registry.has(name)) return taken(registry, name);
  return {};
}

/// Whether somebody answers for the storage that the file names, although it is not there.
bool is_served_at(const std::string& storage) {
  return ServedVolume{storage}.ask(HelloRequest()).ok();
}

}  // namespace

Result<CreatedVolume> create_named_volume(const Registry& registry, const CreateOptions& options) {
  auto lock = registry.lock();
  if (!lock) return std::move(lock).error();
  // Before anything is overwritten.
  if (auto is_free = check_name_is_free(registry, options.volume.name); !is_free) {
    return std::move(is_free).error();
  }
  auto made = format_stopped_volume(options.format);
  if (!made) return std::move(made).error();
  CreatedVolume created{options.volume, std::move(*made)};
  created.volume.uuid = created.made.layout.geometry.uuid;
  created.volume.storage = lasting_path(options.format.path);
  if (auto added = registry.add(created.volume, *lock); !added) {
    // A file that nobody would find is not left behind.
    if (created.made.is_new_file) remove_made_volume(options.format);
    return std::move(added).error();
  }
  return created;
}

Result<NamedVolume> adopt_volume(const Registry& registry, AdoptOptions options) {
  auto uuid = uuid_at(options.path);
  if (!uuid) return std::move(uuid).error();
  auto lock = registry.lock();
  if (!lock) return std::move(lock).error();
  if (const auto known = registry.find(*uuid)) {
    return Error(Errc::exists,
                 fmt::format("{} is the volume \"{}\" already", options.path, known->name));
  }
  if (auto is_free = check_name_is_free(registry, options.volume.name); !is_free) {
    return std::move(is_free).error();
  }
  options.volume.uuid = *uuid;
  options.volume.storage = lasting_path(options.path);
  if (auto added = registry.add(options.volume, *lock); !added) return std::move(added).error();
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
    if (is_served_at(placed.volume.storage)) return placed;
    return std::move(found).error();
  }
  if (!found->has_moved) return placed;
  placed.moved_from = std::exchange(placed.volume.storage, found->path);
  // Who may not write there finds it again each time.
  if (!record || access(registry.path_of(name).c_str(), W_OK) != 0) return placed;
  auto lock = registry.lock();
  if (!lock) return std::move(lock).error();
  auto now = registry.find(name);
  if (!now) return std::move(now).error();
  now->storage = found->path;
  if (auto replaced = registry.replace(*now, *lock); !replaced) return std::move(replaced).error();
  return placed;
}

Result<void> rename_named_volume(const Registry& registry, const std::string& from,
                                 const std::string& to) {
  auto lock = registry.lock();
  if (!lock) return std::move(lock).error();
  if (auto renamed = registry.rename(from, to, *lock); !renamed) return renamed;
  auto volume = registry.find(to);
  if (!volume) return std::move(volume).error();
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
