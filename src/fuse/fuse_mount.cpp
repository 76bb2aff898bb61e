// SPDX-License-Identifier: GPL-2.0-or-later
#include "fuse/fuse_mount.h"

#include <cerrno>
#include <filesystem>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuse/fuse_protocol.h"
#include "fuse/fusermount.h"

namespace uvdo {
namespace {

constexpr const char* kDevice = "/dev/fuse";
constexpr const char* kSource = "uvdo";

/// A folder's path without links, found without a look at the folder itself: what is mounted there
/// may not answer.
Result<std::string> path_without_looking(const std::string& folder) {
  std::filesystem::path path(folder);
  if (!path.has_filename()) path = path.parent_path();  // it ends with a slash
  if (!path.has_parent_path()) path = "." / path;
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::canonical(path.parent_path(), error);
  if (error) return errno_error(error.value(), fmt::format("the mount point {}", folder));
  return (parent / path.filename()).string();
}

/// A folder's path without links, if it can be mounted on.
Result<std::string> usable_folder(const std::string& folder) {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::canonical(folder, error);
  if (error.value() == ENOTCONN) {
    return Error(Errc::busy,
                 fmt::format("a FUSE file system whose server has ended is still mounted on {}: "
                             "unmount it (umount -l, or fusermount3 -uz)",
                             folder));
  }
  if (error) return errno_error(error.value(), fmt::format("the mount point {}", folder));
  if (mount_on(path)) {
    return Error(Errc::busy, fmt::format("something is mounted on {} already: unmount it, or name "
                                         "another folder",
                                         folder));
  }
  if (!std::filesystem::is_directory(path, error)) {
    return Error(Errc::invalid_argument,
                 fmt::format("the mount point {} is not a folder: name an empty one", folder));
  }
  const bool is_empty = std::filesystem::is_empty(path, error);
  if (error) return errno_error(error.value(), fmt::format("looking into {}", folder));
  if (!is_empty) {
    return Error(Errc::invalid_argument,
                 fmt::format("the mount point {} is not empty: its files would be hidden; name an "
                             "empty folder",
                             folder));
  }
  return path.string();
}

Error cannot_open_device(int error) {
  switch (error) {
    case ENOENT:
    case ENXIO:
    case ENODEV:
      return {Errc::not_found,
              fmt::format("there is no {}: load the kernel module (modprobe fuse), or give the "
                          "container that device",
                          kDevice)};
    case EACCES:
    case EPERM:
      return {Errc::unsupported,
              fmt::format("{} may not be used here: ask for it to be made usable (mode 0666), or "
                          "let the container use that device",
                          kDevice)};
    default: return errno_error(error, fmt::format("opening {}", kDevice));
  }
}

/// By mount(2), as root.
Result<FileDescriptor> mount_directly(const FuseMount::Settings& settings,
                                      const std::string& folder) {
  FileDescriptor device(open(kDevice, O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!device) return cannot_open_device(errno);
  const std::string options =
      fmt::format("fd={},rootmode={:o},user_id={},group_id={},default_permissions,max_read={}{}",
                  device.get(), unsigned{S_IFDIR}, getuid(), getgid(), fuse::kMostData,
                  settings.allow_other ? ",allow_other" : "");
  const unsigned long flags =
      MS_NOSUID | MS_NODEV | MS_NOATIME | (settings.read_only ? unsigned{MS_RDONLY} : 0U);
  const std::string type(kVolumeMountType);
  if (mount(kSource, folder.c_str(), type.c_str(), flags, options.c_str()) != 0) {
    if (errno == EPERM) {
      return Error(Errc::unsupported,
                   fmt::format("mounting on {} is not permitted: it takes CAP_SYS_ADMIN, which "
                               "containers have to be given",
                               folder));
    }
    if (errno == ENODEV) {
      return Error(Errc::unsupported, "the kernel has no FUSE: load its module (modprobe fuse)");
    }
    return errno_error(errno, fmt::format("mounting on {}", folder));
  }
  return device;
}

Result<FileDescriptor> mount_by_helper(const FuseMount::Settings& settings,
                                       const std::string& folder) {
  if (access(kDevice, R_OK | W_OK) != 0) return cannot_open_device(errno);
  auto device = Fusermount::mount(
      folder, fmt::format("fsname={},subtype=uvdo,default_permissions,max_read={}{}{}", kSource,
                          fuse::kMostData, settings.allow_other ? ",allow_other" : "",
                          settings.read_only ? ",ro" : ""));
  if (!device) return device;
  const int flags = fcntl(device->get(), F_GETFL);
  if (flags < 0 || fcntl(device->get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return errno_error(errno, "making the descriptor of the mount one that does not block");
  }
  return device;
}

Result<void> detach(const std::string& folder) {
  if (geteuid() != 0) return Fusermount::unmount(folder);
  if (umount2(folder.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) return {};
  return errno_error(errno, fmt::format("unmounting {}", folder));
}

}  // namespace

std::optional<MountEntry> mount_on(const std::string& folder) {
  std::optional<MountEntry> found;
  for (MountEntry& mount : mounts_now()) {
    if (mount.place == folder) found = std::move(mount);  // later ones cover earlier ones
  }
  return found;
}

Result<FuseMount> FuseMount::make(const Settings& settings) {
  auto folder = usable_folder(settings.folder);
  if (!folder) return std::move(folder).error();
  auto device =
      geteuid() == 0 ? mount_directly(settings, *folder) : mount_by_helper(settings, *folder);
  if (!device) return std::move(device).error();
  auto entry = mount_on(*folder);
  if (!entry) {
    return Error(Errc::io,
                 fmt::format("the mount on {} is not to be seen in /proc/self/mountinfo", *folder));
  }
  return FuseMount(std::move(*folder), std::move(*device), std::move(*entry));
}

Result<FuseMount> FuseMount::adopt(const std::string& folder) {
  // Nobody serves it yet: to look at it itself would wait.
  auto place = path_without_looking(folder);
  if (!place) return std::move(place).error();
  auto entry = mount_on(*place);
  if (!entry || entry->type != kVolumeMountType) {
    return Error(Errc::not_found, fmt::format("no volume is mounted on {}", folder));
  }
  return FuseMount(std::move(*place), FileDescriptor(), std::move(*entry));
}

Result<void> FuseMount::unmount() const {
  if (mount_on(folder_) != entry_) return {};
  return detach(folder_);
}

Result<bool> has_living_server(const std::string& folder) {
  auto place = path_without_looking(folder);
  if (!place) return false;  // then there is nothing in it either
  const auto entry = mount_on(*place);
  if (!entry || entry->type != kVolumeMountType) return false;
  // Attributes may be remembered; this asks the server.
  const FileDescriptor opened(open(place->c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (opened) return true;
  if (errno == ENOTCONN || errno == ECONNABORTED) return false;  // it ended before, or just now
  return errno_error(errno, fmt::format("looking at the mount on {}", folder));
}

Result<void> unmount_remains(const std::string& folder) {
  auto place = path_without_looking(folder);
  if (!place) return {};
  for (;;) {
    const auto entry = mount_on(*place);
    if (!entry || entry->type != kVolumeMountType) return {};
    auto lives = has_living_server(folder);
    if (!lives) return std::move(lives).error();
    if (*lives) {
      return Error(Errc::busy, fmt::format("a running server has mounted a volume on {}", folder));
    }
    if (auto done = detach(*place); !done) return done;
  }
}

}  // namespace uvdo
