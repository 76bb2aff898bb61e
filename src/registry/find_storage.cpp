// SPDX-License-Identifier: GPL-2.0-or-later
#include "registry/find_storage.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <sstream>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/absolute_path.h"
#include "base/block_types.h"
#include "base/detached_thread.h"
#include "base/file_checks.h"
#include "base/first_line.h"
#include "base/store_name.h"
#include "device/folder_entries.h"
#include "device/open_device.h"
#include "format/volume_geometry.h"

namespace uvdo {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kBlockDevices = "/sys/class/block";
/// So long disks have to answer a scan, all together.
constexpr std::chrono::seconds kScanPatience{5};
/// Files of a folder that are looked at for one that has another name now.
constexpr std::size_t kMostSiblings = 1000;

/// With all links followed; the path itself where that cannot be done.
std::string canonical(const std::string& path) {
  std::error_code error;
  const fs::path found = fs::canonical(path, error);
  return error ? path : found.string();
}

bool is_block_device(const std::string& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0 && S_ISBLK(status.st_mode);
}

/// Whether a block device may be asked for its first block: one that is suspended, or that a server
/// of this program has made of a volume, would keep who asks waiting.
bool may_be_read(const fs::path& folder) {
  const std::string name = folder.filename().string();
  if (name.starts_with("ublkb") || name.starts_with("ram") || name.starts_with("zram"))
    return false;
  const std::string size = first_line(folder / "size");
  if (size.empty() || size == "0") return false;
  return first_line(folder / "dm/suspended") != "1";
}

/// What the threads of a scan have found so far; it lives as long as the last of them.
struct Scan {
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t running = 0;
  std::vector<ScannedVolume> found;
};

void look_at(const std::shared_ptr<Scan>& scan, const std::string& path) {
  auto uuid = uuid_at(path);
  const std::lock_guard guard(scan->mutex);
  if (uuid) scan->found.push_back({path, *uuid});
  --scan->running;
  scan->changed.notify_one();
}

/// The names of the devices that lie on a block device, "dm-0".
std::vector<std::string> holders_of(const std::string& path) {
  std::vector<std::string> names;
  const std::string name = fs::path(canonical(path)).filename().string();
  for (const fs::path& holder : entries_of(fmt::format("{}/{}/holders", kBlockDevices, name))) {
    names.push_back(holder.filename().string());
  }
  return names;
}

/// Leaves out what lies beneath another that was found with the same UUID: the paths of a
/// multipath device, whose first block is the same.
std::vector<ScannedVolume> topmost(const std::vector<ScannedVolume>& found) {
  std::vector<ScannedVolume> top;
  for (const ScannedVolume& each : found) {
    const std::vector<std::string> holders = holders_of(each.path);
    const bool is_beneath = std::ranges::any_of(found, [&](const ScannedVolume& other) {
      const std::string name = fs::path(canonical(other.path)).filename().string();
      return other.uuid == each.uuid && std::ranges::find(holders, name) != holders.end();
    });
    if (!is_beneath) top.push_back(each);
  }
  return top;
}

/// Where the file systems of disks are mounted.
std::vector<std::string> mount_points() {
  std::vector<std::string> points;
  std::ifstream mounts("/proc/self/mounts");
  std::string line;
  while (std::getline(mounts, line)) {
    std::istringstream words(line);
    std::string source;
    std::string point;
    // A server that does not answer would be waited for: only local disks are looked at.
    if (words >> source >> point && source.starts_with("/dev/")) points.push_back(point);
  }
  return points;
}

/// Files that the volume may be in, if its own is not where it was.
std::vector<std::string> files_near(const std::string& storage) {
  std::vector<std::string> files;
  const fs::path old(storage);
  for (const fs::path& sibling : entries_of(old.parent_path())) {
    if (files.size() == kMostSiblings) break;
    files.push_back(sibling.string());
  }
  // The end of the path beneath other mount points, the longest end first.
  for (const std::string& point : mount_points()) {
    fs::path end = old.relative_path();
    while (!end.empty()) {
      const std::string candidate = (fs::path(point) / end).string();
      if (candidate != storage) files.push_back(candidate);
      fs::path shorter;
      for (auto it = std::next(end.begin()); it != end.end(); ++it) shorter /= *it;
      end = std::move(shorter);
    }
  }
  return files;
}

/// Whether nobody but root and this user can put a file there, or change it: whoever else could
/// would choose what is started here as the volume.
bool is_trusted(const std::string& file) {
  const auto is_ours = [](const struct stat& status) {
    const bool is_owned = status.st_uid == 0 || status.st_uid == geteuid();
    const bool is_group_ours = status.st_gid == 0 || status.st_gid == getegid();
    const bool is_written =
        (status.st_mode & S_IWOTH) != 0 || ((status.st_mode & S_IWGRP) != 0 && !is_group_ours);
    return is_owned && !is_written;
  };
  struct stat folder {};
  struct stat status {};
  const std::string path = canonical(file);
  return stat(fs::path(path).parent_path().c_str(), &folder) == 0 && is_ours(folder) &&
         lstat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && is_ours(status);
}

/// The files among those that hold the volume; each once, whatever its names are.
std::vector<std::string> holding(const std::vector<std::string>& files, const Uuid& uuid) {
  std::vector<std::string> found;
  for (const std::string& file : files) {
    if (!is_trusted(file)) continue;
    auto there = uuid_at(file);
    if (!there || *there != uuid) continue;
    const bool is_known = std::ranges::any_of(found, [&](const std::string& known) {
      std::error_code error;
      return fs::equivalent(known, file, error);
    });
    if (!is_known) found.push_back(file);
  }
  return found;
}

}  // namespace

Result<Uuid> uuid_at(const std::string& path) {
  std::array<std::byte, kBlockSize> block{};
  const auto got = peek(path, block);
  if (!got) return got.error().clone();
  if (*got < block.size()) {
    return Error(Errc::not_found, fmt::format("{} holds no VDO volume", path));
  }
  auto geometry = decode_volume_geometry(block);
  if (!geometry) return geometry.error().within(path);
  return geometry->uuid;
}

std::string lasting_path(const std::string& path) {
  std::string whole = absolute_path(path);
  if (!is_block_device(whole)) return whole;
  if (whole.starts_with("/dev/disk/") || whole.starts_with("/dev/mapper/")) return whole;
  const fs::path node = canonical(whole);
  const std::string name =
      first_line(fmt::format("{}/{}/dm/name", kBlockDevices, node.filename().string()));
  if (!name.empty()) return "/dev/mapper/" + name;
  std::string best;
  for (const fs::path& link : entries_of("/dev/disk/by-id")) {
    if (canonical(link) != node) continue;
    // World wide names say nothing to people.
    const bool is_readable = !link.filename().string().starts_with("wwn-");
    if (best.empty() || is_readable) best = link.string();
    if (is_readable) break;
  }
  return best.empty() ? whole : best;
}

Result<FoundStorage> find_storage(const NamedVolume& volume) {
  auto here = uuid_at(volume.storage);
  if (here && *here == volume.uuid) return FoundStorage{volume.storage, false};
  // What is behind a network has not been taken to another place here.
  if (!is_path(volume.storage)) {
    if (!here) return std::move(here).error();
    return Error(Errc::not_found, fmt::format("{} holds another volume, and not \"{}\"",
                                              volume.storage, volume.name));
  }
  // What is there and must not be read is not looked for elsewhere.
  if (!here && here.error().code() != Errc::not_found &&
      access(volume.storage.c_str(), F_OK) == 0 && access(volume.storage.c_str(), R_OK) != 0) {
    return std::move(here).error();
  }
  std::vector<std::string> found;
  for (const ScannedVolume& each : scan_disks()) {
    if (each.uuid == volume.uuid) found.push_back(each.path);
  }
  // What was a disk is no file.
  const bool was_file = !volume.storage.starts_with("/dev/");
  if (found.empty() && was_file) found = holding(files_near(volume.storage), volume.uuid);
  if (found.size() == 1) return FoundStorage{std::move(found.front()), true};
  const std::string what =
      fmt::format("the volume \"{}\" with the UUID {}", volume.name, to_text(volume.uuid));
  if (found.empty()) {
    return Error(
        Errc::not_found,
        fmt::format("{} is not at {}, and on no disk of this machine; if it has moved, tell "
                    "where it is by uvdo modify {} --storage PATH",
                    what, volume.storage, volume.name));
  }
  std::string places;
  for (const std::string& place : found) places += (places.empty() ? "" : " and ") + place;
  return Error(Errc::exists, fmt::format("{} is at {}: tell which is meant by uvdo modify {} "
                                         "--storage PATH",
                                         what, places, volume.name));
}

std::vector<ScannedVolume> scan_disks() {
  const auto scan = std::make_shared<Scan>();
  for (const fs::path& folder : entries_of(kBlockDevices)) {
    if (!may_be_read(folder)) continue;
    std::string path = "/dev/" + folder.filename().string();
    // What is a slash in /dev cannot be one in /sys.
    std::ranges::replace(path, '!', '/');
    {
      const std::lock_guard guard(scan->mutex);
      ++scan->running;
    }
    // Each in a thread of its own: a disk that does not answer keeps that alone.
    auto started = start_detached_thread("uvdo-scan", [scan, path] { look_at(scan, path); });
    if (!started) look_at(scan, path);
  }
  std::unique_lock lock(scan->mutex);
  scan->changed.wait_for(lock, kScanPatience, [&] { return scan->running == 0; });
  std::vector<ScannedVolume> found = topmost(scan->found);
  lock.unlock();
  for (ScannedVolume& each : found) each.path = lasting_path(each.path);
  std::ranges::sort(found, {}, &ScannedVolume::path);
  return found;
}

}  // namespace uvdo
