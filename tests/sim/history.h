// SPDX-License-Identifier: GPL-2.0-or-later
// One simulated history: a formatted device, several starts with racing clients, each ended by a
// clean stop or a power cut, and the final comparison. A seed decides everything.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "device/sim_device.h"
#include "device/sparse_image.h"
#include "profile.h"
#include "subject.h"

namespace uvdo::sim {

struct HistoryOptions {
  std::uint64_t seed = 1;
  std::uint32_t operations = 0;  ///< instead of the profile's, if not 0
  bool clean = false;            ///< neither power cuts nor faults, whatever the profile says
  std::function<void(std::string_view)> trace;
  /// The last start but the one that verifies meets this fault, and no power cut; those before it
  /// end as the profile says.
  std::optional<SimFault> fault;
  /// The disk lies: its flushes do nothing. Only to prove that this is noticed.
  bool flushes_lie = false;
};

struct HistoryResult {
  std::string failure;     ///< the broken promise; empty if all were kept
  std::uint64_t hash = 0;  ///< of all decisions: equal for a replay
  std::uint64_t steps = 0;
  std::uint64_t crashes = 0;
  std::uint64_t clean_stops = 0;
  std::uint64_t repairs = 0;
  std::uint64_t faults = 0;  ///< starts in which a request failed
  std::uint64_t operations = 0;
  std::uint64_t errors = 0;
  std::uint64_t checks = 0;         ///< blocks compared with the model
  std::uint64_t requests = 0;       ///< of the device
  std::uint64_t longest_probe = 0;  ///< steps
};

/// The content of a device that `subject` has just formatted.
[[nodiscard]] Result<SparseImage> format_image(Subject& subject);

/// Runs a history on a copy of `blank`.
[[nodiscard]] HistoryResult run_history(Subject& subject, const SparseImage& blank,
                                        const Profile& profile, const HistoryOptions& options);

}  // namespace uvdo::sim
