// SPDX-License-Identifier: GPL-2.0-or-later
#include "registry/registry.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_checks.h"
#include "base/replace_file.h"
#include "format/uuid_text.h"

namespace uvdo {
namespace {

namespace fs = std::filesystem;

/// Of a volume's file.
constexpr std::size_t kMostBytes = 1U << 20U;
constexpr std::string_view kSuffix = ".toml";

Error no_such(const Registry& registry, std::string_view name) {
  return {Errc::not_found, fmt::format("there is no volume \"{}\" in {}; uvdo list shows those "
                                       "that there are",
                                       name, registry.folder())};
}

/// Where the file system cannot refuse to replace a file, the lock alone keeps others from making
/// it.
int rename_without_replacing(const std::string& from, const std::string& to) {
  const int done = renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE);
  if (done == 0 || (errno != EINVAL && errno != ENOSYS)) return done;
  return std::rename(from.c_str(), to.c_str());
}

}  // namespace

Registry Registry::of_environment() {
  const char* folder = std::getenv(kConfigFolderVariable);
  return Registry(folder != nullptr && *folder != '\0' ? folder : default_folder());
}

std::string Registry::default_folder() {
  if (geteuid() == 0) return "/etc/uvdo";
  const char* config = std::getenv("XDG_CONFIG_HOME");
  if (config != nullptr && *config == '/') return fmt::format("{}/uvdo", config);
  const char* home = std::getenv("HOME");
  return fmt::format("{}/.config/uvdo", home != nullptr ? home : "");
}

std::string Registry::path_of(std::string_view name) const {
  return fmt::format("{}/{}{}", volumes_folder(), name, kSuffix);
}

bool Registry::has(std::string_view name) const {
  return is_volume_name(name) && access(path_of(name).c_str(), F_OK) == 0;
}

Result<void> Registry::check_is_free(const std::string& name) const {
  if (auto checked = check_volume_name(name); !checked) return checked;
  if (!has(name)) return {};
  return Error(Errc::exists,
               fmt::format("there is a volume \"{}\" already, {}", name, path_of(name)));
}

Result<NamedVolume> Registry::find(const std::string& name) const {
  if (!has(name)) return no_such(*this, name);
  const std::string path = path_of(name);
  auto text = read_small_file(path, kMostBytes);
  if (!text) return std::move(text).error();
  return parse_named_volume(name, path, *text);
}

std::optional<NamedVolume> Registry::find(const Uuid& uuid) const {
  NamedVolumes found = all();
  const auto it = std::ranges::find(found.volumes, uuid, &NamedVolume::uuid);
  if (it == found.volumes.end()) return std::nullopt;
  return std::move(*it);
}

Result<NamedVolume> Registry::find_again(const NamedVolume& volume) const {
  auto found = find(volume.name);
  if (found && found->uuid != volume.uuid) {
    return Error(Errc::busy, fmt::format("\"{}\" is the name of another volume by now, with the "
                                         "UUID {}: nothing was changed",
                                         volume.name, to_text(found->uuid)));
  }
  return found;
}

NamedVolumes Registry::all() const {
  NamedVolumes found;
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(volumes_folder(), error), end; !error && it != end;
       it.increment(error)) {
    const fs::path& path = it->path();
    // Temporary files, and what editors leave, are none.
    if (path.extension() == kSuffix && is_volume_name(path.stem().string())) {
      names.push_back(path.stem().string());
    }
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    found.unreadable.push_back(
        errno_error(error.value(), fmt::format("reading {}", volumes_folder())));
  }
  std::ranges::sort(names);
  for (const std::string& name : names) {
    auto volume = find(name);
    if (volume) {
      found.volumes.push_back(std::move(*volume));
    } else if (volume.error().code() != Errc::not_found) {  // removed meanwhile
      found.unreadable.push_back(std::move(volume).error());
    }
  }
  return found;
}

Result<Registry::Lock> Registry::lock(const LockPatience& patience) const {
  if (auto made = make_folders(volumes_folder()); !made) return std::move(made).error();
  const std::string path = volumes_folder() + "/.lock";
  FileDescriptor file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file) return errno_error(errno, fmt::format("opening {}", path));
  if (!lock_file(file.get(), false, patience)) {
    return Error(Errc::busy,
                 fmt::format("another command is changing volumes in {}; try again when "
                             "it has ended",
                             folder_));
  }
  return Lock(std::move(file));
}

Result<void> Registry::add(const NamedVolume& volume, const Lock& /*lock*/) const {
  if (auto is_free = check_is_free(volume.name); !is_free) return is_free;
  if (const auto known = find(volume.uuid)) {
    return Error(Errc::exists,
                 fmt::format("{} is the volume \"{}\" already", volume.storage, known->name));
  }
  return write(volume, {});
}

Result<void> Registry::replace(const NamedVolume& volume, const Lock& /*lock*/) const {
  if (!has(volume.name)) return no_such(*this, volume.name);
  // What cannot be read is replaced as well: only its comments are lost.
  auto old_text = read_small_file(path_of(volume.name), kMostBytes);
  return write(volume, old_text ? *old_text : std::string());
}

Result<void> Registry::remove(const std::string& name, const Lock& /*lock*/) const {
  if (!has(name)) return no_such(*this, name);
  const std::string path = path_of(name);
  if (unlink(path.c_str()) != 0) return errno_error(errno, fmt::format("removing {}", path));
  return sync_folder(volumes_folder());
}

Result<void> Registry::rename(const std::string& from, const std::string& to,
                              const Lock& lock) const {
  auto volume = find(from);
  if (!volume) return std::move(volume).error();
  if (auto is_free = check_is_free(to); !is_free) return is_free;
  if (rename_without_replacing(path_of(from), path_of(to)) != 0) {
    return errno_error(errno, fmt::format("renaming {} to {}", path_of(from), path_of(to)));
  }
  if (auto synced = sync_folder(volumes_folder()); !synced) return synced;
  // The name is in the file's first line, too, which nothing but people reads.
  volume->name = to;
  return replace(*volume, lock);
}

Result<void> Registry::write(const NamedVolume& volume, std::string_view old_text) const {
  if (auto right = check_storage_path(volume.storage); !right) return right;
  const std::string text = text_of_named_volume(volume, old_text);
  const std::string path = path_of(volume.name);
  // What could not be read again would be a volume lost: a path that is no UTF-8, for example.
  auto read = parse_named_volume(volume.name, path, text);
  if (!read) return std::move(read).error().within("a file that cannot be read was not written");
  if (!(*read == volume)) {
    return Error(Errc::invalid_argument,
                 fmt::format("{} would not say what it should: it was not written", path));
  }
  return replace_file(path, text, 0644);
}

}  // namespace uvdo
