// SPDX-License-Identifier: GPL-2.0-or-later
#include "device/backing_name.h"

#include <charconv>
#include <optional>
#include <string_view>

#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "device/storage_map.h"

namespace uvdo {
namespace {

std::optional<unsigned> whole_number(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// Whether a path is a node of that block device.
bool is_device(const std::string& path, dev_t number) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0 && S_ISBLK(status.st_mode) && status.st_rdev == number;
}

}  // namespace

Result<std::string> backing_store_path(const std::string& name) {
  const std::size_t colon = name.find(':');
  if (colon == std::string::npos) return name;
  const auto major_number = whole_number(std::string_view(name).substr(0, colon));
  const auto minor_number = whole_number(std::string_view(name).substr(colon + 1));
  struct stat status {};
  // A file may have such a name, and it is the file that is meant then.
  if (!major_number || !minor_number || stat(name.c_str(), &status) == 0) return name;
  const dev_t number = makedev(*major_number, *minor_number);
  // The kernel knows the device's name; udev's link serves where /sys does not tell.
  if (std::string node = StorageMap().node_of(number); !node.empty()) return node;
  std::string link = fmt::format("/dev/block/{}:{}", *major_number, *minor_number);
  if (is_device(link, number)) return link;
  return Error(Errc::not_found,
               fmt::format("{} looks like the number of a block device (MAJOR:MINOR), but there is "
                           "no such device; lsblk shows those that there are",
                           name));
}

}  // namespace uvdo
