// SPDX-License-Identifier: GPL-2.0-or-later
// A closer look at a volume in use that no client disturbs: what no client can see, because data
// are right all the same. Each gives a sentence if something is wrong, and leaves the blocks that
// clients use alone.
#pragma once

#include <cstdint>
#include <string>

#include "async/executor.h"
#include "async/sim_random.h"
#include "volume/volume.h"

namespace uvdo::sim {

/// Discards of parts of blocks without data, at or after block `first`, take nothing.
Task<std::string> examine_parts(Volume& volume, SimRandom& random, std::uint64_t first);

/// After the index was made anew, closed or switched off and on again, a second copy of data takes
/// hardly any new blocks. Uses the blocks from `first` on, and frees them again.
Task<std::string> examine_deduplication(Executor& executor, Volume& volume, SimRandom& random,
                                        std::uint64_t first);

/// Makes leaves of the map all over the volume from block `first` on, as far as there are physical
/// blocks for them.
Task<std::string> spread_leaves(Volume& volume, SimRandom& random, std::uint64_t first);

}  // namespace uvdo::sim
