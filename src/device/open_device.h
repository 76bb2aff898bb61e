// SPDX-License-Identifier: GPL-2.0-or-later
// The one place that knows what the names of devices that exist mean: each is the path of a regular
// file or a block device. (Files that are made, by a format or an export, are made there.)
#pragma once

#include <memory>
#include <string>

#include "async/uring_loop.h"
#include "device/backing_file.h"
#include "device/backing_store.h"

namespace uvdo {

/// Opens the store called `name` under its lock (shared for read_only) for requests from `loop`,
/// which outlives it. busy: somebody has it; not_found, invalid_argument, read_only, io: it cannot
/// be opened so.
Result<std::unique_ptr<BackingStore>> open_device(UringLoop& loop, const std::string& name,
                                                  OpenMode mode);

/// The same for who makes one request after the other: each completes inside submit(). To be used
/// by way of BlockingDevice.
Result<std::unique_ptr<BackingStore>> open_blocking_device(const std::string& name, OpenMode mode);

}  // namespace uvdo
