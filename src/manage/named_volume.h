// SPDX-License-Identifier: GPL-2.0-or-later
// What is done to named volumes: each function changes the registry and, where that is meant, the
// volume and its server. They take the registry's lock themselves, for as long as files change and
// not while a server starts or stops, or a volume is made. Nothing here asks anybody: who calls has
// asked before.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "control/device_message.h"
#include "manage/format.h"
#include "manage/served_volume.h"
#include "registry/registry.h"

namespace uvdo {

struct CreateOptions {
  /// Its name, whether it is activated, and its settings; UUID and storage are set by the function.
  NamedVolume volume;
  /// How it is made; `path` is where. A new UUID is in it already.
  FormatOptions format;
};
struct CreatedVolume {
  NamedVolume volume;
  MadeVolume made;
};
/// Makes a volume and registers it. exists: the name is taken, or what is there is a volume with a
/// name, also with `force`; also the errors of format_stopped_volume(). After an error nothing is
/// registered, and no volume is left.
Result<CreatedVolume> create_named_volume(const Registry& registry, const CreateOptions& options);

struct AdoptOptions {
  std::string path;    ///< of a file or block device that holds a VDO volume
  NamedVolume volume;  ///< as in CreateOptions
};
/// Registers a volume that exists, served or not. not_found: there is none; exists: the name is
/// taken, or the volume has a name already.
Result<NamedVolume> adopt_volume(const Registry& registry, AdoptOptions options);

struct PlacedVolume {
  NamedVolume volume;
  std::optional<std::string> moved_from{};  ///< where its file said that it was
};
/// The named volume, with the place where it is by find_storage(). With `record` a new place is
/// written into its file.
Result<PlacedVolume> place_named_volume(const Registry& registry, const std::string& name,
                                        bool record);

struct StartOptions {
  std::string log_file{};              ///< empty: default_log_file()
  std::vector<std::string> options{};  ///< of uvdo serve, beside those of its file
  /// Start uvdo@NAME.service where the service manager runs and knows it.
  bool by_service = true;
};
struct StartedVolume {
  NamedVolume volume;
  bool was_running = false;
  std::vector<AttachedDevice> devices{};  ///< that its server has made
  std::optional<std::string> moved_from{};
};
/// Starts the server of a volume, which goes on in the background, and returns when its devices are
/// there. One that is running is fine. Errors: what a server that did not start has said.
Result<StartedVolume> start_named_volume(const Registry& registry, const std::string& name,
                                         const StartOptions& options);

struct StopOptions {
  bool force = false;     ///< also while a device is used, which then fails
  ServedVolume server{};  ///< how it is asked; where it is is known by its name
};
/// Stops it, and returns when it is saved; false if it was not running. busy: somebody uses a
/// device of it, and the error says who.
Result<bool> stop_named_volume(const Registry& registry, const std::string& name,
                               const StopOptions& options);

struct RemoveOptions {
  /// Stop it also while it is used, and forget it where its storage is not found.
  bool force = false;
  bool keep_storage = false;  ///< the volume itself stays as it is
};
struct RemovedVolume {
  NamedVolume volume;
  /// What has become of the storage.
  enum class Storage : std::uint8_t {
    kept,      ///< as RemoveOptions say
    deleted,   ///< a file
    wiped,     ///< a block device holds no volume any more
    not_found  ///< nothing was there
  };
  Storage storage = Storage::kept;
};
/// Stops and forgets a volume and makes its storage free for another. busy: somebody uses it, and
/// the error says who; not_found: its storage is not there, or its disk does not answer. Nothing
/// was changed then.
Result<RemovedVolume> remove_named_volume(const Registry& registry, const std::string& name,
                                          const RemoveOptions& options);

/// busy: it is being served, with devices that have its name; unsupported: the command vdo keeps
/// it.
Result<void> rename_named_volume(const Registry& registry, const std::string& from,
                                 const std::string& to);

/// False if it was so already.
Result<bool> set_activated(const Registry& registry, const std::string& name, bool is_activated);

/// A setting of the table [serve] or [vdo] of a volume's file; without a value its default.
struct SettingChange {
  std::string key;
  std::optional<OptionValue> value;
};
struct ModifyOptions {
  std::vector<SettingChange> serve{};
  std::vector<SettingChange> vdo{};
  std::optional<std::string> storage{};  ///< where it is; its UUID must be there
  /// Whether the volume may have all the settings that it would have then.
  std::function<Result<void>(const NamedVolume& changed)> check = [](const NamedVolume&) {
    return Result<void>();
  };
};
struct ModifyReport {
  NamedVolume volume;
  std::vector<std::string> changed{};        ///< keys of [serve] whose values are others
  std::vector<std::string> at_once{};        ///< of those in the running server
  std::vector<std::string> at_next_start{};  ///< of those that its running server has not taken
  std::optional<Error> not_set{};  ///< why the running server has refused what it could take
};
/// Changes the file, and what can be changed in use in the running server.
Result<ModifyReport> modify_named_volume(const Registry& registry, const std::string& name,
                                         const ModifyOptions& options);

}  // namespace uvdo
