// SPDX-License-Identifier: GPL-2.0-or-later
#include "control/volume_identity.h"

#include <algorithm>
#include <filesystem>

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

namespace uvdo {
namespace {

/// Absolute, with the links on the way to the last name resolved.
std::string full_path(const std::string& volume) {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::absolute(volume, error).lexically_normal();
  const auto folder = std::filesystem::canonical(path.parent_path(), error);
  return error ? path.string() : (folder / path.filename()).string();
}

/// A storage and where in it the volume begins: the same for every way to it.
struct Place {
  std::string id;
  std::uint64_t start;
  bool operator==(const Place&) const = default;
};

std::vector<Place> places_of(const std::vector<StorageRange>& storages) {
  std::vector<Place> places;
  for (const StorageRange& range : storages) {
    if (range.share == StorageRange::Share::exact) places.push_back({range.id.text(), range.start});
  }
  return places;
}

std::vector<Place> places_in(const Json& hello) {
  std::vector<Place> places;
  for (const Json& storage : hello.value("storages", Json::array())) {
    if (!storage.is_object()) continue;
    places.push_back({storage.value("id", ""), storage.value("start", std::uint64_t{0})});
  }
  return places;
}

}  // namespace

Json hello_of(const std::string& volume, const std::vector<StorageRange>& storages) {
  Json list = Json::array();
  for (const Place& place : places_of(storages)) {
    list.push_back({{"id", place.id}, {"start", place.start}});
  }
  return {{"volume", full_path(volume)}, {"storages", std::move(list)}, {"pid", getpid()}};
}

Result<void> check_hello(const Json& hello, const std::string& volume, const StorageMap& map) {
  if (!hello.is_object() || !hello.contains("volume") || !hello["volume"].is_string()) {
    return Error(Errc::protocol, "the server's answer cannot be understood");
  }
  const auto served = places_in(hello);
  struct stat status {};
  const bool is_there = stat(volume.c_str(), &status) == 0;
  const auto id = is_there ? StorageId::of(status) : std::nullopt;
  const bool same_path = hello["volume"].get<std::string>() == full_path(volume);
  if ((!is_there || served.empty()) && same_path) return {};
  if (id) {
    for (const Place& place : places_of(map.beneath(*id, volume))) {
      if (std::ranges::find(served, place) != served.end()) return {};
    }
  }
  return Error(Errc::invalid_argument,
               fmt::format("the server at that control socket has another volume, {}, and not {}; "
                           "nothing was asked of it",
                           hello["volume"].get<std::string>(), volume));
}

}  // namespace uvdo
