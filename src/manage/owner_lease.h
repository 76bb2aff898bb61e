// SPDX-License-Identifier: GPL-2.0-or-later
// Gives a volume a record of its owner, shows it, and ends it (lease/lease.h).
#pragma once

#include <optional>
#include <string>

#include "lease/owner_record.h"

namespace uvdo {

/// Nothing: the volume has no record. Looks at it, whoever has the volume.
Result<std::optional<OwnerRecord>> owner_record_of(const std::string& volume);

/// What a change of a record asks for.
struct LeaseChange {
  std::optional<std::uint32_t> seconds;  ///< none: there shall be no record
  /// Whoever the record names, and whatever is in its place.
  bool force = false;
};

/// busy: somebody has the volume; no_space: it has no block for a record; unsupported: its storage
/// has a lock of its own, or cannot have a record.
Result<void> change_owner_lease(const std::string& volume, const LeaseChange& change);

}  // namespace uvdo
