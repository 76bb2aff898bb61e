// SPDX-License-Identifier: GPL-2.0-or-later
// The entrance of a volume, with what it looks at, for tests of parts that stand behind it.
#pragma once

#include "volume/entrance.h"

namespace uvdo::testing {

struct EntranceBench {
  /// The super block of the volume is block `place` of `device`.
  EntranceBench(Executor& executor, Device& device, const ReadOnlyNotifier& notifier,
                const SuperBlock& super_block = {}, Pbn place = Pbn{0})
      : super_blocks(executor, PbnDevice(device, 0), place, super_block),
        entrance(executor, life, notifier, super_blocks, errors) {}

  SuperBlockStore super_blocks;
  VolumeLife life;
  ErrorStatistics errors;
  Entrance entrance;
};

}  // namespace uvdo::testing
