// SPDX-License-Identifier: GPL-2.0-or-later
// Where requests of clients come in: what is asked of each of them, whatever it wants.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "journal/read_only_notifier.h"
#include "volume/patient_requests.h"
#include "volume/request_gate.h"
#include "volume/super_block_store.h"
#include "volume/volume_counters.h"
#include "volume/volume_life.h"

namespace uvdo {

/// A write comes through WriteAdmission's door first, then the gate; then it is asked whether the
/// volume may be written, and whether the range exists.
class Entrance {
 public:
  Entrance(Executor& executor, const VolumeLife& life, const ReadOnlyNotifier& notifier,
           const SuperBlockStore& super_blocks, ErrorStatistics& errors)
      : life_(life),
        notifier_(notifier),
        super_blocks_(super_blocks),
        errors_(errors),
        gate_(executor),
        patient_(executor) {}

  RequestGate& gate() { return gate_; }
  /// Those that are answered without being done, where there is no room beneath the volume.
  PatientRequests& patient() { return patient_; }

  /// The logical size in bytes.
  [[nodiscard]] std::uint64_t size() const {
    return super_blocks_.current().config.logical_blocks * kBlockSize;
  }
  /// out_of_range: bytes beyond the end.
  [[nodiscard]] Result<void> check_range(std::uint64_t offset, std::uint64_t length) const;
  /// cancelled: the volume ends; or the error of read-only mode, which is counted.
  Result<void> check_writable();
  /// The error of requests that come to a volume that ends.
  static Error refused() { return {Errc::cancelled, "the volume is being stopped"}; }

 private:
  const VolumeLife& life_;
  const ReadOnlyNotifier& notifier_;
  const SuperBlockStore& super_blocks_;
  ErrorStatistics& errors_;
  RequestGate gate_;
  PatientRequests patient_;
};

}  // namespace uvdo
