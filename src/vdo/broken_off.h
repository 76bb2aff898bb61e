// SPDX-License-Identifier: GPL-2.0-or-later
// Operations on a volume that ended before they were done, as by a power cut.
#pragma once

#include <string>

#include "format/uuid.h"
#include "vdo/volume_work.h"

namespace uvdo {

/// The key of what is under way.
inline constexpr const char* kOperationState = "_operationState";
/// Its word while nothing is under way.
inline constexpr std::string_view kFinished = "finished";
/// While the volume is made: it is one of which nothing is known.
inline constexpr std::string_view kBeginCreate = "beginCreate";

/// wrong_state: the making of the volume was broken off, and only `vdo remove --force` helps.
Outcome check_is_made(const std::string& name, const ConfVolume& volume);

/// Ends what was broken off of a volume that is made: its UUID and sizes are those that it has
/// itself, and the files follow. wrong_state: as check_is_made(), or its storage is not there.
Outcome finish_operation(VerbContext& context, const std::string& name, ConfVolume& volume);
/// The part of it that has to do with the UUID.
Outcome finish_uuid_change(VerbContext& context, const std::string& name, ConfVolume& volume);

/// Gives a registered volume that is stopped, and lies at `path`, another UUID: on its storage, in
/// the registry and in the configuration file. At whatever point it is broken off,
/// finish_uuid_change() ends it one way or the other.
Outcome change_uuid(VerbContext& context, const std::string& name, ConfVolume& volume,
                    const std::string& path, const Uuid& uuid);

/// user: another volume of the registry or of the configuration file has that UUID.
Outcome check_uuid_is_free(const VerbContext& context, const std::string& name, const Uuid& uuid);

}  // namespace uvdo
