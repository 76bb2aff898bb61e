// SPDX-License-Identifier: GPL-2.0-or-later
// Writes everything that a volume has in memory and marks it clean (behaviour.md, 11): at a stop,
// and before it is suspended.
//
// What holds here: nothing of the volume is under way; the super block says CLEAN only after all
// that it stands for is stable, and never over an error.
#pragma once

#include "ledger/ledger.h"
#include "volume/index_holder.h"
#include "volume/super_block_store.h"

namespace uvdo {

/// The order is that of behaviour.md, 11.
class Saver {
 public:
  Saver(const ReadOnlyNotifier& notifier, Ledger& ledger, IndexHolder& index,
        SuperBlockStore& super_blocks)
      : notifier_(notifier), ledger_(ledger), index_(index), super_blocks_(super_blocks) {}

  /// Errors name the step. The index is saved as `index` says, also where the rest cannot be.
  Task<Result<void>> save(IndexHolder::Saving index);
  /// How far the last save has come.
  enum class Progress : std::uint8_t {
    nothing,
    committed,  ///< all that clients were told is written is stable
    saved,
  };
  [[nodiscard]] Progress progress() const { return progress_; }

 private:
  const ReadOnlyNotifier& notifier_;
  Ledger& ledger_;
  IndexHolder& index_;
  SuperBlockStore& super_blocks_;
  Progress progress_ = Progress::nothing;
};

}  // namespace uvdo
