// SPDX-License-Identifier: GPL-2.0-or-later
// Which volume a server has, in the words of the control protocol's "hello", and whether that is
// the one that a client means. What counts is the storage: any of its names will do.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "control/hello_message.h"
#include "device/storage_map.h"

namespace uvdo {

/// What this server says of itself. `storages` are empty while the volume is suspended.
[[nodiscard]] HelloAnswer hello_of(const std::string& volume,
                                   const std::vector<StorageRange>& storages);

/// Whether the server that said `hello` has the volume at `volume`: the same storage, or the same
/// path where the server has let go of its storage or where nothing is at that path.
[[nodiscard]] bool is_server_of(const HelloAnswer& hello, const std::string& volume,
                                const StorageMap& map = StorageMap());
/// An error that names both volumes if it has another one.
Result<void> check_hello(const HelloAnswer& hello, const std::string& volume,
                         const StorageMap& map = StorageMap());

}  // namespace uvdo
