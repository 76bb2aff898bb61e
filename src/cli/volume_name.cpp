// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/volume_name.h"

#include <fmt/core.h>
#include <sys/stat.h>

#include "cli/command.h"
#include "device/backing_name.h"
#include "manage/lvm_pool.h"
#include "manage/named_volume.h"

namespace uvdo {
namespace {

constexpr char kMark = '@';

/// Whether something that can hold a volume has that name in the current folder.
bool is_store(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return false;
  return S_ISREG(status.st_mode) || S_ISBLK(status.st_mode);
}

bool is_marked(const std::string& word) { return word.starts_with(kMark) && !is_store(word); }

}  // namespace

Result<std::optional<std::string>> volume_name_of(const std::string& word) {
  if (is_marked(word)) return std::optional(word.substr(1));
  if (!Registry::of_environment().has(word)) return std::optional<std::string>();
  if (!is_store(word)) return std::optional(word);
  return Error(Errc::invalid_argument,
               fmt::format("\"{0}\" is a named volume, and a file in this folder: write @{0} for "
                           "the volume, ./{0} for the file",
                           word));
}

Result<std::string> volume_path(const std::string& word, VolumeUse use) {
  const Registry registry = Registry::of_environment();
  auto called = volume_name_of(word);
  if (!called) return std::move(called).error();
  if (!*called) return backing_store_path(word);
  const std::string& name = **called;
  std::optional<TakenPool> taken;
  if (use == VolumeUse::serve) {
    auto volume = registry.find(name);
    if (!volume) return std::move(volume).error();
    if (!volume->lvm_pool.empty()) {
      auto pool = take_lvm_pool(volume->lvm_pool);
      if (!pool) return std::move(pool).error();
      taken = std::move(*pool);
    }
  }
  auto placed = place_named_volume(registry, name, use != VolumeUse::tell);
  if (!placed && taken) return return_lvm_pool(*taken, std::move(placed).error());
  if (!placed) return std::move(placed).error();
  if (placed->moved_from) {
    warn(fmt::format("the volume \"{}\" has moved from {} to {}", name, *placed->moved_from,
                     placed->volume.storage));
  }
  return std::move(placed->volume.storage);
}

std::optional<std::string> file_of_volume_name(const std::string& word) {
  const Registry registry = Registry::of_environment();
  const std::string name = is_marked(word) ? word.substr(1) : word;
  if (!registry.has(name)) return std::nullopt;
  return registry.path_of(name);
}

}  // namespace uvdo
