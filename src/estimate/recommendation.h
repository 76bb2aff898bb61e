// SPDX-License-Identifier: GPL-2.0-or-later
// Which sizes a volume for estimated data should be made with.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "estimate/estimate.h"
#include "format/index_memory.h"

namespace uvdo {

/// What the data become in the volume.
enum class DataUse : std::uint8_t {
  image,        ///< they are the volume's contents: a disk is copied
  file_system,  ///< files on a file system in it, which takes room of its own
};

struct Recommendation {
  std::uint64_t logical_bytes = 0;
  std::uint64_t physical_bytes = 0;  ///< of the device, with the data, metadata and 10 % to spare
  unsigned slab_bits = 0;
  IndexMemory index_memory;
  bool sparse = false;
};

/// out_of_range: no volume can hold so much.
Result<Recommendation> recommend(const Estimate& estimate, DataUse use);

}  // namespace uvdo
