// SPDX-License-Identifier: GPL-2.0-or-later
// How people may call a volume on a command line: by the name under which it is registered, by the
// path of its file or block device, or by MAJOR:MINOR of a device.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"

namespace uvdo {

/// What a volume is looked for for.
enum class VolumeUse : std::uint8_t {
  tell,    ///< nothing is changed, not even its file
  change,  ///< a new place is written into its file
  serve,   ///< the same; the data of a pool of LVM are taken from it
};

/// The path of the volume that `word` calls. "@NAME" is always a named volume; a name that is that
/// of a file in the current folder, too, is refused. The user is told of a named volume that is
/// found elsewhere than its file says.
Result<std::string> volume_path(const std::string& word, VolumeUse use);

/// The registered name that `word` calls; nothing if it is a path. invalid_argument: it is that of
/// a file in the current folder, too.
Result<std::optional<std::string>> volume_name_of(const std::string& word);

/// The registered file of the volume that is called so, "NAME" or "@NAME"; nothing if there is
/// none.
[[nodiscard]] std::optional<std::string> file_of_volume_name(const std::string& word);

}  // namespace uvdo
