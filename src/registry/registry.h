// SPDX-License-Identifier: GPL-2.0-or-later
// The named volumes of this machine, or of a user: a folder with one file for each. A file is
// replaced in one step, so that whoever reads it finds the old text or the new one, also after the
// machine has died; readers need no lock.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_descriptor.h"
#include "base/file_lock.h"
#include "base/result.h"
#include "registry/named_volume.h"

namespace uvdo {

/// All named volumes, and what is wrong with the files that could not be read.
struct NamedVolumes {
  std::vector<NamedVolume> volumes{};  ///< by name
  std::vector<Error> unreadable{};
};

/// Where the environment says that the folder of configuration is.
inline constexpr const char* kConfigFolderVariable = "UVDO_CONFIG_DIR";

/// A value: where the files are. Nothing is opened before a function asks for it.
class Registry {
 public:
  /// `folder` is that of configuration; the volumes are in volumes.d in it.
  explicit Registry(std::string folder) : folder_(std::move(folder)) {}
  /// That of this process: $UVDO_CONFIG_DIR, else default_folder().
  static Registry of_environment();
  /// /etc/uvdo for root, else uvdo in $XDG_CONFIG_HOME or ~/.config.
  [[nodiscard]] static std::string default_folder();

  [[nodiscard]] const std::string& folder() const { return folder_; }
  /// The file of the volume `name`, which need not exist.
  [[nodiscard]] std::string path_of(std::string_view name) const;
  /// Whether there is a file for `name`, whatever it says. False for what cannot be a name.
  [[nodiscard]] bool has(std::string_view name) const;
  /// Whether a volume may be called so from now on. invalid_argument: none may; exists: one is.
  [[nodiscard]] Result<void> check_is_free(const std::string& name) const;

  /// not_found: no volume is called so, or could be; invalid_argument: its file cannot be
  /// understood.
  [[nodiscard]] Result<NamedVolume> find(const std::string& name) const;
  /// The volume with that UUID, the first by name; nothing if there is none.
  [[nodiscard]] std::optional<NamedVolume> find(const Uuid& uuid) const;
  /// What is called so under the lock, if it is the volume that was found without. busy: it is
  /// another one by now.
  [[nodiscard]] Result<NamedVolume> find_again(const NamedVolume& volume) const;
  [[nodiscard]] NamedVolumes all() const;

  /// Held while something changes: what was read under it stays so. It ends with its object, or its
  /// process.
  class Lock {
   public:
    explicit Lock(FileDescriptor file) : file_(std::move(file)) {}

   private:
    FileDescriptor file_;
  };
  /// Waits for others, who have it for a moment each. Makes the folder if there is none. busy:
  /// somebody else goes on to change something.
  [[nodiscard]] Result<Lock> lock(
      const LockPatience& patience = LockPatience(std::chrono::seconds(30))) const;

  // Each is durable when it returns; the caller has the lock.

  /// exists: there is one of that name or with that UUID.
  Result<void> add(const NamedVolume& volume, const Lock& lock) const;
  /// not_found: there is none of that name. Comments that somebody has written into the file stay.
  Result<void> replace(const NamedVolume& volume, const Lock& lock) const;
  Result<void> remove(const std::string& name, const Lock& lock) const;
  /// exists: there is one of the new name. It has one name at every moment; after an error of
  /// writing that may be the new one already.
  Result<void> rename(const std::string& from, const std::string& to, const Lock& lock) const;

 private:
  [[nodiscard]] std::string volumes_folder() const { return folder_ + "/volumes.d"; }
  Result<void> write(const NamedVolume& volume, std::string_view old_text) const;

  std::string folder_;
};

}  // namespace uvdo
