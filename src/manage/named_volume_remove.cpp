// SPDX-License-Identifier: GPL-2.0-or-later
// The end of a named volume.
#include <array>
#include <filesystem>

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/block_types.h"
#include "device/blocking_device.h"
#include "device/open_device.h"
#include "manage/lvm_pool.h"
#include "manage/named_volume.h"
#include "manage/stop.h"
#include "registry/find_storage.h"

namespace uvdo {
namespace {

using Storage = RemovedVolume::Storage;

/// Makes the storage free for something else, under the lock that refuses anything in use.
Result<Storage> free_storage(const NamedVolume& volume) {
  auto store = open_blocking_device(volume.storage, OpenMode::read_write);
  if (!store) return std::move(store).error();
  // What was looked for without the lock may have been replaced since.
  auto uuid = uuid_at(volume.storage);
  if (!uuid) return std::move(uuid).error();
  if (*uuid != volume.uuid) {
    return Error(Errc::busy, fmt::format("{} is being replaced", volume.storage));
  }
  BlockingDevice device(std::move(*store));
  // Without its first block nothing is a volume. A file's too: other names of it may stay.
  const std::array<std::byte, kBlockSize> zeros{};
  auto wiped = device.write(0, zeros);
  if (wiped) wiped = device.flush();
  if (!wiped) return std::move(wiped).error();
  std::error_code error;
  const std::filesystem::path file = std::filesystem::canonical(volume.storage, error);
  if (error || !std::filesystem::is_regular_file(file, error)) return Storage::wiped;
  if (unlink(file.c_str()) != 0)
    return errno_error(errno, fmt::format("removing {}", file.string()));
  return Storage::deleted;
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
  if (placed) {
    removed.volume = std::move(placed->volume);
    auto stopped = stop_server({removed.volume.storage}, options.force);
    if (!stopped && stopped.error().code() != Errc::not_found) return std::move(stopped).error();
    if (!options.keep_storage) {
      auto freed = free_storage(removed.volume);
      if (!freed) return std::move(freed).error();
      removed.storage = *freed;
    }
  } else if (placed.error().code() == Errc::not_found) {
    // A disk that is gone does not keep its volume's name for ever; a pool may be with LVM.
    removed.storage = pool.empty() ? Storage::not_found : Storage::kept;
  } else {
    return std::move(placed).error();
  }
  if (!pool.empty()) {
    if (auto released = release_lvm_pool(pool); !released) return std::move(released).error();
  }
  auto lock = registry.lock();
  if (!lock) return std::move(lock).error();
  if (auto done = registry.remove(name, *lock); !done) return std::move(done).error();
  return removed;
}

}  // namespace uvdo
