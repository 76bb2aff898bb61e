// SPDX-License-Identifier: GPL-2.0-or-later
// The deduplication index of a volume in use: closing it, opening it again, making a new one, one
// of these at a time; who comes meanwhile waits. Data is written all the while; what an index that
// is not online would have been told is not noted.
#pragma once

#include <memory>

#include "async/wait_queue.h"
#include "base/log.h"
#include "volume/entrance.h"
#include "volume/volume_options.h"

namespace uvdo {

/// Lookups and notes go past the semaphore, straight to get(): an index that is not online answers
/// none.
class IndexHolder {
 public:
  /// There is no index before use().
  IndexHolder(Executor& executor, const VolumeLife& life, Entrance& entrance,
              VolumeOptions& options, LogFunction log)
      : life_(life),
        entrance_(entrance),
        options_(options),
        log_(std::move(log)),
        operation_(executor, 1) {}

  /// From now on this is the index; nullptr: there is none.
  void use(std::unique_ptr<DedupeIndex> index);
  [[nodiscard]] DedupeIndex* get() const { return index_.get(); }
  /// Whether blocks are looked up, and what is there is told.
  void set_deduplication(bool on);

  /// Saves the index and takes it out of use. busy: it is closed.
  Task<Result<void>> close();
  /// Puts an empty index in the place of whatever is there, and deduplicates.
  Task<Result<void>> create();
  /// Deduplicates: opens the index again if it was closed. An error if it has failed.
  Task<Result<void>> enable();

  /// What a save leaves of it.
  enum class Saving : std::uint8_t {
    and_close,   ///< it is not used any more
    and_go_on,   ///< it is used further
    of_nothing,  ///< its device is gone; whatever came of it is not told
  };
  /// Saves it; a failure is logged and no more: it can be made anew.
  Task<void> save(Saving saving);

 private:
  const VolumeLife& life_;
  Entrance& entrance_;
  VolumeOptions& options_;
  LogFunction log_;
  std::unique_ptr<DedupeIndex> index_;
  Semaphore operation_;  // held while it is opened, closed, made or saved
};

}  // namespace uvdo
