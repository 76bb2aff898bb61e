// SPDX-License-Identifier: GPL-2.0-or-later
// The end of a named volume.
#include <fmt/core.h>

#include "manage/free_storage.h"
#include "manage/lvm_pool.h"
#include "manage/named_server.h"
#include "manage/named_volume.h"
#include "manage/stop.h"

namespace uvdo {
namespace {

using Storage = RemovedVolume::Storage;

/// Stops the volume where it is, and frees what holds it if it is not to be kept.
Result<Storage> end(const NamedVolume& placed, const RemoveOptions& options) {
  auto server = server_of(placed);
  auto stopped = server ? stop_server(*server, options.force) : std::move(server).error();
  if (!stopped && stopped.error().code() != Errc::not_found) return std::move(stopped).error();
  if (options.keep_storage) return Storage::kept;
  auto freed = free_storage(placed.storage, placed.uuid, FreedFile::removed);
  if (!freed) return std::move(freed).error();
  return *freed == Freed::deleted ? Storage::deleted : Storage::wiped;
}

/// What becomes of a storage that was not found. A disk that did not answer, or comes back, would
/// hold a volume that nobody knows of: that has to be meant.
Result<Storage> give_up(const Error& why, const RemoveOptions& options) {
  if (why.code() != Errc::not_found) return why.clone();
  if (options.keep_storage) return Storage::not_found;
  if (options.force) return Storage::not_found;
  return Error(Errc::not_found,
               fmt::format("{}; to forget the volume all the same, give --force", why.message()));
}

}  // namespace

Result<RemovedVolume> remove_named_volume(const Registry& registry, const std::string& name,
                                          const RemoveOptions& options) {
  auto found = registry.find(name);
  if (!found) return std::move(found).error();
  RemovedVolume removed{std::move(*found)};
  const std::string pool = removed.volume.lvm_pool;
  if (!pool.empty() && !options.keep_storage) {
    return Error(Errc::invalid_argument,
                 fmt::format("the volume \"{}\" is the data of the pool {} of LVM, which has to "
                             "remove it (lvremove): give --keep to give the pool back",
                             name, pool));
  }
  auto placed = place_named_volume(registry, name, false);
  if (placed && placed->volume.uuid != removed.volume.uuid) {
    return Error(Errc::busy, fmt::format("\"{}\" is the name of another volume by now", name));
  }
  if (placed) removed.volume = std::move(placed->volume);
  auto storage = placed ? end(removed.volume, options) : give_up(placed.error(), options);
  if (!storage) return std::move(storage).error();
  removed.storage = *storage;
  if (!pool.empty()) {
    // LVM may have it.
    removed.storage = Storage::kept;
    if (auto released = release_lvm_pool(pool); !released) return std::move(released).error();
  }
  auto lock = registry.lock();
  if (!lock) return std::move(lock).error();
  // Somebody may have removed it, and made another of its name, while it was stopped.
  auto again = registry.find_again(removed.volume);
  if (!again) return std::move(again).error();
  if (auto done = registry.remove(name, *lock); !done) return std::move(done).error();
  return removed;
}

}  // namespace uvdo
