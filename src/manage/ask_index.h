// SPDX-License-Identifier: GPL-2.0-or-later
// Asks the deduplication index of a volume that nobody serves whether it knows names, and where it
// says that their blocks are.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "format/block_mapping.h"
#include "format/record_name.h"

namespace uvdo {

/// What the index says of a name.
struct IndexOpinion {
  bool is_known = false;
  std::optional<BlockMapping> mapping{};  ///< none: it is not known, or what it says is no mapping
};

/// One opinion for each name. The index is loaded, or put together from its chapters where it was
/// not saved, which takes its memory and its time; nothing is written. Errors: the volume is in use
/// or cannot be read, or there is no index that could be opened.
Result<std::vector<IndexOpinion>> ask_index(const std::string& volume,
                                            std::span<const RecordName> names);

}  // namespace uvdo
