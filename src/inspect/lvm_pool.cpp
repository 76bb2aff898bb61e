// SPDX-License-Identifier: GPL-2.0-or-later
#include "inspect/lvm_pool.h"

#include <string>

#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/first_line.h"

namespace uvdo {
namespace {

constexpr std::uint64_t kExtent = std::uint64_t{4} << 20U;  // LVM's default, in bytes
constexpr std::uint64_t kEndBlocks = kLvmPoolEnd / kBlockSize;

bool is_on_pool_data(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0 || !S_ISBLK(status.st_mode)) return false;
  const std::string uuid = first_line(
      fmt::format("/sys/dev/block/{}:{}/dm/uuid", major(status.st_rdev), minor(status.st_rdev)));
  return uuid.starts_with("LVM-") && uuid.ends_with("-vdata");
}

bool is_unmapped(VolumeImage& image, std::uint64_t first, std::uint64_t count) {
  for (std::uint64_t block = first; block < first + count; ++block) {
    auto mapping = image.mapping(Lbn(block));
    if (!mapping || mapping->is_mapped()) return false;
  }
  return true;
}

}  // namespace

std::optional<LvmPoolWindow> lvm_pool_window(VolumeImage& image) {
  const std::uint64_t blocks = image.logical_blocks();
  if (blocks <= 2 * kEndBlocks) return std::nullopt;
  const LvmPoolWindow window{.size = blocks * kBlockSize - 2 * kLvmPoolEnd};
  if (is_on_pool_data(image.store().name())) return window;
  // Of an image of the pool's data, such as a copy in a file, nothing tells but the volume itself.
  const bool looks_like_one = window.size % kExtent == 0 && is_unmapped(image, 0, kEndBlocks) &&
                              is_unmapped(image, blocks - kEndBlocks, kEndBlocks);
  return looks_like_one ? std::optional(window) : std::nullopt;
}

}  // namespace uvdo
