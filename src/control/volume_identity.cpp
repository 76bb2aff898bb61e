// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/volume_identity.h"

#include <algorithm>
#include <filesystem>

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/absolute_path.h"
#include "base/store_name.h"

namespace uvdo {
namespace {

/// Absolute, with the links on the way to the last name resolved.
std::string full_path(const std::string& volume) {
  if (!is_path(volume)) return volume;
  std::error_code error;
  const std::filesystem::path path = absolute_path(volume);
  const auto folder = std::filesystem::canonical(path.parent_path(), error);
  return error ? path.string() : (folder / path.filename()).string();
}

std::vector<StoragePlace> places_of(const std::vector<StorageRange>& storages) {
  std::vector<StoragePlace> places;
  for (const StorageRange& range : storages) {
    // Storage that is shared with others says nothing about which volume is on it.
    if (range.share == StorageRange::Share::exact) places.push_back({range.id.text(), range.start});
  }
  return places;
}

}  // namespace

HelloAnswer hello_of(const std::string& volume, const std::vector<StorageRange>& storages) {
  return {full_path(volume), places_of(storages), static_cast<std::uint64_t>(getpid()), {}, {}};
}

bool is_server_of(const HelloAnswer& hello, const std::string& volume, const StorageMap& map) {
  struct stat status {};
  const std::string file = file_of_store(volume);
  const bool is_there = stat(file.c_str(), &status) == 0;
  const auto id = is_there ? StorageId::of(status) : std::nullopt;
  const bool same_path = store_key(hello.volume) == store_key(full_path(volume));
  if ((!is_there || hello.storages.empty()) && same_path) return true;
  if (!id) return false;
  return std::ranges::any_of(places_of(map.beneath(*id, file)), [&](const StoragePlace& place) {
    return std::ranges::find(hello.storages, place) != hello.storages.end();
  });
}

Result<void> check_hello(const HelloAnswer& hello, const std::string& volume,
                         const StorageMap& map) {
  if (is_server_of(hello, volume, map)) return {};
  return Error(Errc::invalid_argument,
               fmt::format("the server at that control socket has another volume, {}, and not {}; "
                           "nothing was asked of it",
                           hello.volume, volume));
}

}  // namespace uvdo
