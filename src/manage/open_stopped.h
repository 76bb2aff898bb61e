// SPDX-License-Identifier: GPL-2.0-or-later
// Opens a volume that nobody serves, for what is done to it as a whole.
#pragma once

#include <memory>
#include <string>

#include "async/task.h"
#include "async/uring_loop.h"
#include "device/backing_file.h"
#include "device/backing_store.h"
#include "volume/volume_headers.h"

namespace uvdo {

/// Under its lock as long as `device` lives.
struct OpenedVolume {
  std::unique_ptr<BackingStore> device;
  VolumeHeaders headers;
};

/// Errors: those of open_owned_device() and read_volume_headers().
Task<Result<OpenedVolume>> open_stopped(UringLoop& loop, const std::string& path, OpenMode mode);

}  // namespace uvdo
