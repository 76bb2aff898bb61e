// SPDX-License-Identifier: GPL-2.0-or-later
// Who uses a storage, in words for people: the process that has locked it, where it is mounted,
// which device keeps it. Only what the kernel lets this user see.
#pragma once

#include <string>

#include "device/storage_map.h"

namespace uvdo {

/// "process 123 (uvdo serve v.img ...)", "mounted on /mnt", "held by dm-0"; empty if that cannot
/// be found out. Control characters are made visible.
[[nodiscard]] std::string user_of(const StorageId& id, const StorageMap& map = StorageMap());

/// Whether somebody else has a lock that excludes all others on these bytes, by the kernel's table
/// of all locks: for files that have no name here, such as those of another mount namespace.
[[nodiscard]] bool is_locked_by_others(const StorageRange& range);

/// "process 123 (command and arguments)", cut where they get long.
[[nodiscard]] std::string process_text(pid_t pid);

}  // namespace uvdo
