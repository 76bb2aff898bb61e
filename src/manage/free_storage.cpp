// SPDX-License-Identifier: GPL-2.0-or-later
#include "manage/free_storage.h"

#include <array>
#include <cerrno>
#include <filesystem>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/block_types.h"
#include "base/file_descriptor.h"
#include "device/blocking_device.h"
#include "device/open_device.h"
#include "format/volume_geometry.h"
#include "lease/open_owned.h"

namespace uvdo {
namespace {

/// Removes the name if it is one of that file: whoever may write to its folder could have put
/// another file, or a link, in its place.
Result<void> remove_name(const std::string& path, const StorageId& file) {
  std::error_code error;
  const std::filesystem::path whole = std::filesystem::canonical(path, error);
  if (error) return errno_error(error.value(), fmt::format("removing {}", path));
  const FileDescriptor folder(
      open(whole.parent_path().c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder) return errno_error(errno, fmt::format("opening the folder of {}", path));
  const std::string name = whole.filename().string();
  struct stat status {};
  if (fstatat(folder.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno_error(errno, fmt::format("removing {}", path));
  }
  if (StorageId::of(status) != file) {
    return Error(Errc::busy,
                 fmt::format("{} was replaced meanwhile, and is not removed; the file that it was "
                             "holds no volume any more",
                             path));
  }
  if (unlinkat(folder.get(), name.c_str(), 0) == 0) return {};
  return errno_error(errno, fmt::format("removing {}", path));
}

}  // namespace

Result<Freed> free_storage(const std::string& path, const Uuid& uuid, FreedFile file) {
  // From here on under the lock that refuses anything in use.
  auto store = open_blocking_device(path, OpenMode::read_write);
  if (!store) return std::move(store).error();
  if (auto unowned = check_is_unowned(**store); !unowned) return std::move(unowned).error();
  BlockingDevice device(std::move(*store));
  // What has this name may be another one than was looked at before: what counts is what is open.
  std::array<std::byte, kBlockSize> block{};
  if (auto read = device.read(0, block); !read) return std::move(read).error();
  auto geometry = decode_volume_geometry(block);
  if (!geometry || geometry->uuid != uuid) {
    return Error(Errc::busy, fmt::format("{} holds something else by now: it is left alone", path));
  }
  // Without its first block nothing is a volume. A file's too: other names of it may stay.
  block.fill(std::byte{0});
  auto wiped = device.write(0, block);
  if (wiped) wiped = device.flush();
  if (!wiped) return std::move(wiped).error();
  const StorageId id = device.store().storages().front().id;
  if (id.kind == StorageId::Kind::block || file == FreedFile::kept) return Freed::wiped;
  if (auto removed = remove_name(path, id); !removed) return std::move(removed).error();
  return Freed::deleted;
}

}  // namespace uvdo
