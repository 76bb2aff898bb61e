// SPDX-License-Identifier: GPL-2.0-or-later
// Writes, in the place of a server that died, what it had in its recovery journal and not yet on
// disk. The disk is afterwards as if the server had committed all at the moment of its death, and
// everything else had been cut off there: what a recovery is made for.
#pragma once

#include "async/executor.h"
#include "async/task.h"
#include "device/pbn_device.h"
#include "format/super_block.h"
#include "journal/journal_memory.h"

namespace uvdo {

/// `super_block`: as it is on disk. Repeated after it was broken off it does the same again.
/// corrupt: the journal on disk is not the one that `kept` goes on with, and nothing was written.
Task<Result<void>> finish_journal(Executor& executor, PbnDevice blocks,
                                  const SuperBlock& super_block, const KeptJournal& kept);

}  // namespace uvdo
