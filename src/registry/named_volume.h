// SPDX-License-Identifier: GPL-2.0-or-later
// A named volume: what stands in its file NAME.toml, and that file's text. The file is one of
// uvdo serve --config, too (cli/config_file.h):
//
//   # The volume "archive" of uvdo; see uvdo-volume(5).
//   uuid = "0f0e7a5c-..."                   # what it is found by, wherever its disk has gone
//   volume = "/dev/disk/by-id/scsi-..."     # where it was found last
//   activate = true                         # started at boot, and by uvdo start --all
//   lvm-pool = "vg/pool"                    # only of one that is the data of a pool of LVM
//
//   # Options of uvdo serve.
//   [serve]
//   attach = ["auto"]
//   cache = "256M"
//
//   # Settings that the command vdo keeps.
//   [vdo]
//   ackThreads = 1
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "format/uuid.h"
#include "registry/option_table.h"

namespace uvdo {

/// Characters that a name has at most.
inline constexpr std::size_t kLongestVolumeName = 50;

/// A value. Equal files are equal values.
struct NamedVolume {
  std::string name;
  Uuid uuid{};
  std::string storage;       ///< where it was found last: an absolute path
  bool is_activated = true;  ///< started at boot, and with all others
  std::string lvm_pool{};    ///< "VG/POOL" if it is the data of a pool of LVM; else empty
  OptionTable serve{};       ///< of uvdo serve: "cache", "attach", ...
  OptionTable vdo{};         ///< what the command vdo keeps for programs that ask
  friend bool operator==(const NamedVolume&, const NamedVolume&) = default;
};

/// Whether a volume may be called so: 1 to 50 letters, digits, ".", "_", "+" and "-", the first
/// neither "-" nor ".".
[[nodiscard]] bool is_volume_name(std::string_view name);
/// invalid_argument: it may not; the error says what names are like.
Result<void> check_volume_name(std::string_view name);

/// invalid_argument: it is no whole path, or has characters that control terminals and would end
/// lines of files that systemd and udev read.
Result<void> check_storage_path(std::string_view path);

/// What the file `path` with the contents `text` says of the volume `name`. invalid_argument: it
/// says nothing that is understood; with the line.
Result<NamedVolume> parse_named_volume(const std::string& name, const std::string& path,
                                       std::string_view text);

/// The text of its file, with comments. Comments that stand in lines of their own above a key or a
/// table of `old_text`, the file as it was, stay there.
[[nodiscard]] std::string text_of_named_volume(const NamedVolume& volume,
                                               std::string_view old_text = {});

}  // namespace uvdo
