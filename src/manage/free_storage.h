// SPDX-License-Identifier: GPL-2.0-or-later
// Making what holds a volume free for something else.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "format/uuid.h"

namespace uvdo {

/// What is to become of a file.
enum class FreedFile : std::uint8_t {
  removed,
  kept,  ///< it was there before the volume
};
/// What has become of the storage.
enum class Freed : std::uint8_t {
  deleted,  ///< a file
  wiped     ///< it holds no volume any more
};

/// Frees the file or block device `path` of the volume with that UUID. busy: somebody uses it, or
/// it holds another volume by now; then nothing was changed.
Result<Freed> free_storage(const std::string& path, const Uuid& uuid, FreedFile file);

}  // namespace uvdo
