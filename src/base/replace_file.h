// SPDX-License-Identifier: GPL-2.0-or-later
// Replacing a small file in one step: whoever reads it finds the old text or the new one, also
// after the machine has died.
#pragma once

#include <string>
#include <string_view>

#include <sys/types.h>

#include "base/result.h"

namespace uvdo {

/// Gives the file `path` the contents `text`, durable when it returns; after an error the old file
/// is there as it was. One that is there keeps its owner and its mode, a new one gets `mode` less
/// the umask. A link is replaced itself, not what it leads to. The caller keeps others from
/// replacing the same file meanwhile.
Result<void> replace_file(const std::string& path, std::string_view text, mode_t mode);

/// Makes the names in `folder` durable: what was made, renamed or removed there.
Result<void> sync_folder(const std::string& folder);

/// Makes the folder and those above it that are not there; durable when it returns.
Result<void> make_folders(const std::string& folder);

}  // namespace uvdo
