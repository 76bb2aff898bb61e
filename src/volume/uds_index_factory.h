// SPDX-License-Identifier: GPL-2.0-or-later
// Gives a volume the deduplication index that lies in front of it on its device.
#pragma once

#include "index/uds_index.h"
#include "volume/volume.h"

namespace uvdo {

/// Where the index of a volume lies, and what it is; `create` if the volume is new.
[[nodiscard]] UdsParameters uds_parameters(const VolumeGeometry& geometry, bool create);

/// A factory of the index on disk. A volume whose index cannot even be begun (its geometry block
/// names a size that no index has) goes without deduplication, and a line says so. The index runs
/// in `work`'s thread, if it has one.
[[nodiscard]] IndexFactory uds_index_factory(LogFunction log, WorkPlace work = {});

}  // namespace uvdo
