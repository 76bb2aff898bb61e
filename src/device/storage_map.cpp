// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/storage_map.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <string_view>

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/detached_thread.h"
#include "base/file_descriptor.h"
#include "base/first_line.h"
#include "device/folder_entries.h"
#include "device/mount_table.h"

namespace uvdo {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kSector = 512;  // of all figures in /sys
constexpr unsigned kDeepest = 16;       // storages over one another
/// Far more than a server takes that is only busy: an answer that is not had may hide an owner.
constexpr auto kPatience = std::chrono::seconds(4);

std::optional<std::uint64_t> number_in(const fs::path& file) {
  const std::string line = first_line(file);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
  if (error != std::errc() || end == line.data()) return std::nullopt;
  return value;
}

/// Of a file "dev": MAJOR:MINOR.
std::optional<dev_t> device_in(const fs::path& file) {
  const std::string line = first_line(file);
  const char* const last = line.data() + line.size();
  unsigned major_number = 0;
  unsigned minor_number = 0;
  const auto [colon, error] = std::from_chars(line.data(), last, major_number);
  if (error != std::errc() || colon == last || *colon != ':') return std::nullopt;
  if (std::from_chars(colon + 1, last, minor_number).ec != std::errc()) return std::nullopt;
  return makedev(major_number, minor_number);
}

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

/// What the kernel knows of a loop device. It asks the server of the device's file, of a FUSE mount
/// for one, which may be one that does not answer: nothing then.
std::optional<loop_info64> ask_loop(const std::string& node) {
  if (node.empty()) return std::nullopt;
  auto answer = std::make_shared<std::promise<std::optional<loop_info64>>>();
  auto told = answer->get_future();
  const auto asking = start_detached_thread("uvdo-loop", [answer, node] {
    const FileDescriptor device(open(node.c_str(), O_RDONLY | O_CLOEXEC));
    loop_info64 info{};
    const bool is_told = device && ioctl(device.get(), LOOP_GET_STATUS64, &info) == 0;
    answer->set_value(is_told ? std::optional(info) : std::nullopt);
  });
  if (!asking || told.wait_for(kPatience) != std::future_status::ready) return std::nullopt;
  return told.get();
}

/// Whether a file lies in a mount of a volume.
bool is_of_a_volume(const StorageId& id) {
  return id.kind == StorageId::Kind::file && major(id.device) == 0 &&
         std::ranges::any_of(mounts_now(), [&](const MountEntry& mount) {
           return mount.device == id.device && mount.type == kVolumeMountType;
         });
}

/// Which bytes of its file a loop device shows; nothing if it is none.
std::optional<StorageRange> loop_file(const fs::path& folder, const std::string& node) {
  if (!is_there(folder / "loop/backing_file")) return std::nullopt;
  StorageRange file;
  file.path = first_line(folder / "loop/backing_file");
  file.start = number_in(folder / "loop/offset").value_or(0);
  if (const auto limit = number_in(folder / "loop/sizelimit"); limit && *limit > 0) {
    file.length = *limit;
  }
  if (const auto id = StorageId::at(file.path)) file.id = *id;
  // Of a volume's own mount the kernel may have to ask its server: that would wait where the server
  // is dead, and perhaps for the very process that asks.
  if (is_of_a_volume(file.id)) return file;
  // The path is one of whoever made the device; the kernel knows the file itself.
  if (const auto info = ask_loop(node)) {
    const StorageId told = info->lo_rdevice != 0
                               ? StorageId{StorageId::Kind::block, info->lo_rdevice, 0}
                               : StorageId{StorageId::Kind::file, info->lo_device, info->lo_inode};
    if (file.id != told) file.path.clear();
    file.id = told;
  } else if (file.id == StorageId()) {
    return std::nullopt;  // a name of nothing that is here
  }
  return file;
}

}  // namespace

std::optional<StorageId> StorageId::of(const struct stat& status) {
  if (S_ISBLK(status.st_mode)) return StorageId{Kind::block, status.st_rdev, 0};
  if (S_ISREG(status.st_mode)) return StorageId{Kind::file, status.st_dev, status.st_ino};
  return std::nullopt;
}

std::optional<StorageId> StorageId::at(const std::string& path) {
  struct statx status {};
  constexpr unsigned kWanted = STATX_TYPE | STATX_INO;
  if (statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, kWanted, &status) != 0 ||
      (status.stx_mask & kWanted) != kWanted) {
    return std::nullopt;
  }
  if (S_ISBLK(status.stx_mode)) {
    return StorageId{Kind::block, makedev(status.stx_rdev_major, status.stx_rdev_minor), 0};
  }
  if (!S_ISREG(status.stx_mode)) return std::nullopt;
  return StorageId{Kind::file, makedev(status.stx_dev_major, status.stx_dev_minor), status.stx_ino};
}

std::string StorageId::text() const {
  if (kind == Kind::block) return fmt::format("block-{}-{}", major(device), minor(device));
  return fmt::format("file-{:x}-{}", device, inode);
}

/// Goes down from one storage to what lies beneath it, carrying the bytes that are meant.
class StorageMap::Walk {
 public:
  explicit Walk(const StorageMap& map) : map_(map) {}

  void visit(StorageRange at, unsigned depth) {
    // Two ways may lead to one storage; and what a hostile /sys says must not go on for ever.
    const bool is_known = std::ranges::any_of(found_, [&](const StorageRange& known) {
      return known.id == at.id && known.start == at.start && known.length == at.length;
    });
    if (is_known || depth > kDeepest) return;
    found_.push_back(at);
    if (at.id.kind == StorageId::Kind::file) return;
    std::error_code error;
    const fs::path folder = fs::canonical(map_.folder_of(at.id.device), error);
    if (error) return;
    visit_disk_of_partition(at, folder, depth);
    const std::string node = map_.node_of(at.id.device);
    if (const auto file = loop_file(folder, node.empty() ? at.path : node)) {
      visit(part_of(at, *file), depth + 1);
    }
    visit_slaves(at, folder, depth);
  }
  std::vector<StorageRange> take() { return std::move(found_); }

 private:
  /// The bytes `of` a storage that a device shows, as much as `at` is of the device.
  static StorageRange part_of(const StorageRange& at, const StorageRange& of) {
    StorageRange part = of;
    part.share = at.share;
    part.start = of.start + at.start;
    const std::uint64_t rest = of.length == StorageRange::kToTheEnd
                                   ? of.length
                                   : of.length - std::min(of.length, at.start);
    part.length = std::min(at.length, rest);
    return part;
  }

  [[nodiscard]] StorageRange device_at(dev_t device) const {
    StorageRange range;
    range.id = {StorageId::Kind::block, device, 0};
    range.path = map_.node_of(device);
    return range;
  }

  void visit_disk_of_partition(const StorageRange& at, const fs::path& folder, unsigned depth) {
    if (!is_there(folder / "partition")) return;
    const auto disk = device_in(folder.parent_path() / "dev");
    const auto start = number_in(folder / "start");
    const auto size = number_in(folder / "size");
    if (!disk || !start || !size) return;
    StorageRange range = device_at(*disk);
    range.start = *start * kSector;
    range.length = *size * kSector;
    visit(part_of(at, range), depth + 1);
  }

  /// What a map shows of the devices that it is made of only its table tells: one of the same size
  /// may be a snapshot. Of a part of a larger one not all who use it could know which it is, so
  /// that nobody says so.
  void visit_slaves(const StorageRange& at, const fs::path& folder, unsigned depth) {
    const auto size = number_in(folder / "size");
    const bool is_whole = size && is_there(folder / "dm") && [&] {
      if (const auto table = map_.table_of_(at.id.device)) return is_whole_device(*table, *size);
      return is_whole_device(first_line(folder / "dm/uuid"));
    }();
    for (const fs::path& slave : entries_of(folder / "slaves")) {
      const auto device = device_in(slave / "dev");
      if (!device) continue;
      StorageRange range = device_at(*device);
      const auto slave_size = number_in(slave / "size");
      if (is_whole && slave_size && *size == *slave_size) {
        visit(part_of(at, range), depth + 1);
        continue;
      }
      range.share = StorageRange::Share::within;
      visit(range, depth + 1);
    }
  }

  const StorageMap& map_;
  std::vector<StorageRange> found_;
};

std::vector<StorageRange> StorageMap::beneath(const StorageId& id, const std::string& path) const {
  StorageRange top;
  top.id = id;
  top.path = path;
  Walk walk(*this);
  walk.visit(top, 0);
  return walk.take();
}

std::vector<std::string> StorageMap::loops_over(const StorageId& id) const {
  std::vector<std::string> nodes;
  for (const fs::path& folder : entries_of(sys_ + "/block")) {
    if (!folder.filename().string().starts_with("loop")) continue;
    const auto device = device_in(folder / "dev");
    if (!device) continue;
    const std::string node = node_of(*device);
    const auto file = loop_file(folder, node);
    if (file && file->id == id && !node.empty()) nodes.push_back(node);
  }
  return nodes;
}

std::string StorageMap::folder_of(dev_t device) const {
  return fmt::format("{}/dev/block/{}:{}", sys_, major(device), minor(device));
}

std::string StorageMap::node_of(dev_t device) const {
  std::ifstream event(folder_of(device) + "/uevent");
  constexpr std::string_view kKey = "DEVNAME=";
  for (std::string line; std::getline(event, line);) {
    if (!line.starts_with(kKey)) continue;
    // The kernel's name for it, if there is such a node and it is that device.
    std::string path = dev_ + "/" + line.substr(kKey.size());
    struct stat status {};
    if (stat(path.c_str(), &status) == 0 && S_ISBLK(status.st_mode) && status.st_rdev == device) {
      return path;
    }
  }
  return {};
}

std::vector<std::string> StorageMap::holders_of(dev_t device) const {
  std::vector<std::string> names;
  for (const fs::path& holder : entries_of(folder_of(device) + "/holders")) {
    names.push_back(holder.filename());
  }
  return names;
}

std::vector<dev_t> StorageMap::partitions_of(dev_t disk) const {
  std::vector<dev_t> parts;
  for (const fs::path& entry : entries_of(folder_of(disk))) {
    if (!is_there(entry / "partition")) continue;
    if (const auto device = device_in(entry / "dev")) parts.push_back(*device);
  }
  return parts;
}

}  // namespace uvdo
